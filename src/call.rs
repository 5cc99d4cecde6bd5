//! A call from its options to its result: judged, prepared, made on the caller's thread or on one of the library's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::config::DecisioningMethod;
use crate::delivery::normalize::{Circumstances, Normalized, normalize};
use crate::envelope::RawEnvelope;
use crate::error::{Phase, TargetError};
use crate::executor::Job;
use crate::json::{Document, Strictness, Value};
use crate::local_decisions::{GeoQuery, Place, Route};
use crate::options::{Operation, ParsedOptions};
use crate::pending::{After, AsyncCall};
use crate::shared::Shared;
use crate::transport::control::CallControl;

/// A call whose options have been judged, with the request as the caller's text has it.
struct Prepared<'d> {
    call: Call,
    request: Option<Value<'d>>,
}

impl Prepared<'_> {
    /// Whether the call is over before anybody could want to end it.
    fn is_immediate(&self) -> bool {
        matches!(&self.call.place, Place::Here { look_up: None, .. })
    }
}

/// A call that is ready to be made.
pub(crate) struct Call {
    pub operation: Operation,
    pub normalized: Normalized,
    pub place: Place,
    pub timeout: Duration,
    pub retry_clicks: bool,
}

impl Call {
    fn is_decided_here(&self) -> bool {
        matches!(self.place, Place::Here { .. })
    }
}

impl Shared {
    /// Makes a call on the calling thread.
    pub(crate) fn run(
        &self,
        operation: Operation,
        names: &[String],
        options: &str,
    ) -> Result<RawEnvelope, TargetError> {
        self.edge.stats.call(operation);
        let document = self.parsed(options)?;
        let prepared = self.prepare(operation, names, document.root())?;
        let request = prepared.request;
        if prepared.is_immediate() {
            // Nothing to wait for, and so nothing that could be ended.
            return self.execute(prepared.call, request, None);
        }
        let control = Arc::new(CallControl::new(prepared.call.timeout));
        let _in_flight = match self.calls.begin(&control) {
            Ok((in_flight, _)) => in_flight,
            Err(closed) => return Err(self.withdraw(prepared.call, closed)),
        };
        self.execute(prepared.call, request, Some(&control))
    }

    /// Starts a call on a thread of the library.
    pub(crate) fn start(
        self: &Arc<Self>,
        operation: Operation,
        names: &[String],
        options: &str,
        after: After,
        begun: &dyn Fn(&Arc<AsyncCall>),
    ) -> Result<Arc<AsyncCall>, TargetError> {
        self.edge.stats.call(operation);
        let document = self.parsed(options)?;
        let call = self.prepare(operation, names, document.root())?.call;
        let control = Arc::new(CallControl::new(call.timeout));
        let (in_flight, id) = match self.calls.begin(&control) {
            Ok(begun) => begun,
            Err(closed) => return Err(self.withdraw(call, closed)),
        };
        let handle = AsyncCall::new(id, Arc::clone(&control), Arc::downgrade(self));
        let telemetry = call.normalized.telemetry.clone();
        let (job_shared, job_handle) = (Arc::clone(self), Arc::clone(&handle));
        // A decision reads the request itself; what the edge decides is written already.
        let options = call.is_decided_here().then(|| options.to_owned());
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let document = options.as_deref().map(|options| job_shared.parsed(options)).transpose()?;
                let request = document.as_ref().and_then(|document| ParsedOptions::request_of(document.root()));
                job_shared.execute(call, request, Some(job_handle.control()))
            }))
            .unwrap_or_else(|_| Err(TargetError::internal("a panic was caught in the call; please report it")));
            job_handle.finish(outcome, after, &job_shared);
            drop(in_flight);
        };
        begun(&handle);
        match self.executor.submit(Job { control, run: Box::new(run) }) {
            Ok(()) => Ok(handle),
            Err(error) => {
                self.edge.telemetry.put_back(telemetry);
                Err(error)
            }
        }
    }

    /// Names that are refused make a refused call.
    pub(crate) fn judged_names(&self, names: Result<Vec<String>, TargetError>) -> Result<Vec<String>, TargetError> {
        if names.is_err() {
            self.edge.stats.call(Operation::GetAttributes);
            self.edge.stats.failed(Phase::Validate);
        }
        names
    }

    pub(crate) fn parsed<'o>(&self, options: &'o str) -> Result<Document<'o>, TargetError> {
        Document::parse(options, Strictness::Options).map_err(|error| {
            self.edge.stats.failed(Phase::Validate);
            TargetError::invalid_json("options", &error)
        })
    }

    fn prepare<'d>(
        &self,
        operation: Operation,
        names: &[String],
        options: Value<'d>,
    ) -> Result<Prepared<'d>, TargetError> {
        let prepared = self.judge(operation, names, options);
        if let Err(error) = &prepared {
            self.edge.stats.failed(error.details().phase);
        }
        prepared
    }

    fn judge<'d>(
        &self,
        operation: Operation,
        names: &[String],
        options: Value<'d>,
    ) -> Result<Prepared<'d>, TargetError> {
        if self.calls.is_closed() {
            return Err(TargetError::closed());
        }
        let options = ParsedOptions::read(options, operation)?;
        let method = match operation {
            Operation::SendNotifications | Operation::EnqueueNotifications => DecisioningMethod::ServerSide,
            _ => options.decisioning_method.unwrap_or(self.config.decisioning_method),
        };
        let route = self.route(method, options.request, names);
        let circumstances = Circumstances {
            now_ms: self.clock.now_ms(),
            location_hint: self.location_hint(),
            decided_here: matches!(route, Route::Here(..)),
        };
        let normalized = normalize(&self.config, circumstances, &options, operation, names, &self.edge.telemetry)?;
        let place = match route {
            Route::NotReady(error) => {
                self.edge.telemetry.put_back(normalized.telemetry);
                return Err(error);
            }
            Route::Edge(need, reason) => Place::Edge(need, reason),
            Route::Here(current, need) => {
                let look_up = (*current).as_ref().and_then(|loaded| GeoQuery::of(&loaded.artifact, options.request));
                Place::Here { current, need, look_up }
            }
        };
        Ok(Prepared {
            request: options.request,
            call: Call {
                operation,
                normalized,
                place,
                timeout: options.timeout.unwrap_or(self.config.timeout),
                retry_clicks: options.retry_clicks.unwrap_or(self.config.retry_clicks),
            },
        })
    }

    /// Gives back what a call took that is not made after all.
    fn withdraw(&self, call: Call, error: TargetError) -> TargetError {
        self.edge.telemetry.put_back(call.normalized.telemetry);
        error
    }

    /// Makes a call; without a control only one that is over at once.
    fn execute(
        &self,
        call: Call,
        request: Option<Value<'_>>,
        control: Option<&Arc<CallControl>>,
    ) -> Result<RawEnvelope, TargetError> {
        let operation = call.operation;
        let result = match (&call.place, control) {
            (Place::Here { .. }, control) => self.decide_here(call, request, control),
            (Place::Edge(..), Some(control)) => self.send_parts(call, control),
            (Place::Edge(..), None) => Err(TargetError::internal("a request without a deadline")),
        };
        match &result {
            Ok(_) => crate::log::debug(format_args!("{}: done", operation.name())),
            Err(error) => {
                let elapsed = control.map_or(0, |control| control.elapsed().as_millis());
                crate::log::warn(format_args!("{}: failed after {elapsed} ms: {error}", operation.name()));
            }
        }
        result
    }
}
