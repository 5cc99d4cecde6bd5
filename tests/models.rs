//! The Delivery API models against the API's specification: its examples pass through without
//! loss, and each of its components has a type here with the same members and names.
//!
//! The specification is read from the folder `ADOBE_TARGET_OPENAPI`, `../shared/openapi` when that
//! is not set. Without the folder nothing is checked, and the tests say so on stderr.

use adobe_target::delivery::model::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

#[test]
fn the_examples_pass_through_without_loss() {
    let Some(folder) = specification() else { return };

    for path in files(&folder.join("delivery/examples"), "json") {
        let name = path.file_name().unwrap().to_string_lossy();
        let example = parse_example(&fs::read_to_string(&path).unwrap());

        if name.starts_with("response") {
            assert_passes_through::<DeliveryResponse>(&example, &name);
        } else {
            assert_passes_through::<DeliveryRequest>(&example, &name);
        }
    }
}

#[test]
fn the_examples_are_understood() {
    let Some(folder) = specification() else { return };
    let example = |name: &str| {
        let path = folder.join("delivery/examples").join(name);
        parse_example(&fs::read_to_string(path).unwrap())
    };

    let request: DeliveryRequest = serde_json::from_value(example("notificationsForDisplayedContent.json")).unwrap();
    let web: DeliveryResponse = serde_json::from_value(example("responseForPrefetchViewsForWebChannel.json")).unwrap();
    let mobile: DeliveryResponse =
        serde_json::from_value(example("responseForPrefetchViewsForMobileChannel.json")).unwrap();

    let context = request.context.unwrap();
    assert_eq!(context.channel, Some(ChannelType::Web));
    assert_eq!(context.screen.unwrap().height, Some(1400.0));
    let notification = &request.notifications.unwrap()[0];
    assert_eq!(notification.r#type, Some(MetricType::Display));
    assert_eq!(notification.timestamp, Some(1_552_561_951_770));
    assert_eq!(notification.tokens.as_ref().unwrap().len(), 2);

    let offer = &web.prefetch_mbox("SummerOffer").unwrap().options.as_ref().unwrap()[0];
    assert_eq!(offer.r#type, Some(OptionType::Html));
    assert!(offer.content.as_ref().unwrap().as_str().unwrap().contains("15% discount"));

    let views = mobile.prefetch.unwrap().views.unwrap();
    let actions = views[0].options.as_ref().unwrap()[1].actions();
    assert_eq!(actions[0].selector.as_deref(), Some("#sidebar"));
    assert_eq!(views[1].metrics.as_ref().unwrap()[0].r#type, Some(MetricType::Click));
}

#[test]
fn every_component_has_a_type_with_its_members() {
    let Some(folder) = specification() else { return };
    let components = read_components(&folder);
    let types = types_with_every_member();

    for (name, component) in &components {
        if !component.names.is_empty() || UNREACHABLE.contains(&name.as_str()) {
            continue;
        }
        let mut expected = component.properties.clone();
        for parent in &component.parents {
            expected.extend(components[parent].properties.iter().cloned());
        }
        // Maps of anything are no structs here.
        if expected.is_empty() {
            assert!(["Parameters", "ResponseTokens", "TraceResponse"].contains(&name.as_str()), "{name}");
            continue;
        }
        let ours = types.get(name.as_str()).unwrap_or_else(|| panic!("no type for {name}"));

        assert_eq!(keys(ours), expected, "{name}");
    }
    for name in types.keys() {
        assert!(components.contains_key(*name), "{name} is no component");
    }
}

#[test]
fn every_name_of_the_specification_has_its_variant() {
    let Some(folder) = specification() else { return };
    let mut named: BTreeMap<&str, fn(&str) -> String> = BTreeMap::new();
    macro_rules! names {
        ($($name:ident)*) => {$(
            named.insert(stringify!($name), |text| match serde_json::from_value(json!(text)).unwrap() {
                $name::Other(text) => panic!("{} does not know {text}", stringify!($name)),
                name => name.to_string(),
            });
        )*};
    }
    names! {
        AuthenticatedState ChannelType DecisioningMethod DeviceType ExecutionMode LoggingType
        MetricType MobilePlatformType OptionType ScreenOrientationType
    }

    let components = read_components(&folder);
    let enums: Vec<_> = components.iter().filter(|(_, component)| !component.names.is_empty()).collect();

    assert_eq!(enums.len(), named.len());
    for (enumeration, component) in enums {
        for text in &component.names {
            assert_eq!(named[enumeration.as_str()](text), *text, "{enumeration}");
        }
    }
}

#[test]
fn filled_messages_pass_through_without_loss() {
    let types = types_with_every_member();

    assert_passes_through::<DeliveryRequest>(&types["DeliveryRequest"], "request");
    assert_passes_through::<DeliveryResponse>(&types["DeliveryResponse"], "response");
}

/// Components of other APIs and of error answers, which neither request nor response refer to.
const UNREACHABLE: [&str; 2] = ["ABTOrder", "UnexpectedError"];

fn specification() -> Option<PathBuf> {
    let folder = std::env::var_os("ADOBE_TARGET_OPENAPI")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/openapi"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    // Not `eprintln!`, which the test harness hides when a test passes.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED: no API specification in {}; set ADOBE_TARGET_OPENAPI", folder.display()).unwrap();
    None
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "nothing in {}", folder.display());
    files
}

/// One of the examples (`responseForPrefetchViewsForWebChannel.json`) has a comma after the last
/// member of an object, which is no JSON. It is taken out; none of them has such text in a string.
fn parse_example(text: &str) -> Value {
    let mut strict = String::new();
    for (index, character) in text.char_indices() {
        let last = character == ',' && text[index + 1..].trim_start().starts_with(['}', ']']);
        if !last {
            strict.push(character);
        }
    }
    serde_json::from_str(&strict).unwrap()
}

fn assert_passes_through<T: DeserializeOwned + Serialize>(message: &Value, name: &str) {
    let typed: T = serde_json::from_value(message.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));

    assert_eq!(json!(typed), *message, "{name}");
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// What the checks need to know of a component.
#[derive(Default)]
struct Component {
    properties: BTreeSet<String>,
    /// Components that it inherits from (`allOf`).
    parents: Vec<String>,
    /// The texts of an `enum`.
    names: Vec<String>,
}

fn read_components(folder: &Path) -> BTreeMap<String, Component> {
    let mut components = BTreeMap::new();
    for folder in ["delivery/components", "common/components"].map(|part| folder.join(part)) {
        for path in files(&folder, "yaml") {
            read_component_file(&fs::read_to_string(path).unwrap(), &mut components);
        }
    }
    components
}

/// A scan by indentation, which is all that these files need: each line's ancestors tell whether
/// its key is a property. The files have no flow mappings, and their block texts never stand
/// directly below `properties`.
fn read_component_file(text: &str, components: &mut BTreeMap<String, Component>) {
    let mut ancestors: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        let unindented = line.trim_start();
        let content = unindented.trim_start_matches("- ");
        let indentation = line.len() - content.len();
        let Some((key, value)) = content.split_once(':') else { continue };
        while ancestors.last().is_some_and(|(outer, _)| *outer >= indentation) {
            ancestors.pop();
        }
        let path: Vec<&str> = ancestors.iter().map(|(_, ancestor)| *ancestor).collect();
        ancestors.push((indentation, key));

        let name = match path[..] {
            ["components", "schemas", name, ..] => name,
            ["components", ..] | [] => continue,
            [name, ..] => name,
        };
        let component = components.entry(name.to_owned()).or_default();
        // What a map's values look like is no property of the map.
        if path.contains(&"additionalProperties") {
            continue;
        }
        match (path.last(), key) {
            (Some(&"properties"), property) => {
                component.properties.insert(property.to_owned());
            }
            (Some(&"allOf"), "$ref") => {
                let (_, parent) = value.rsplit_once('/').unwrap();
                component.parents.push(parent.trim_end_matches('"').to_owned());
            }
            (_, "enum") if path.len() == 1 => {
                component.names = serde_json::from_str(value).unwrap();
            }
            _ => (),
        }
    }
}

/// A value of each type by the name of its component. Struct literals without `..`, so that a new
/// member does not compile until it is here.
fn types_with_every_member() -> BTreeMap<&'static str, Value> {
    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }
    fn map(value: Value) -> Option<Map<String, Value>> {
        value.as_object().cloned()
    }
    let extra = Map::new;

    let address =
        Address { url: text("https://a.example/"), referring_url: text("https://b.example/"), extra: extra() };
    let order = Order {
        id: text("o1"),
        total: Some(12.into()),
        purchased_product_ids: Some(vec!["p1".into()]),
        time: text("2026-01-02T03:04:05Z"),
        experience_local_id: Some(1),
        duplicate: Some(false),
        outlier: Some(false),
        extra: extra(),
    };
    let product = Product { id: text("p1"), category_id: text("c1"), extra: extra() };
    let parameters = map(json!({"a": "1", "b": 2}));
    let details = RequestDetails {
        discriminator: text("RequestDetails"),
        address: Some(address.clone()),
        parameters: parameters.clone(),
        profile_parameters: parameters.clone(),
        order: Some(order.clone()),
        product: Some(product.clone()),
        extra: extra(),
    };
    let mbox_request = MboxRequest {
        index: Some(1),
        name: text("home"),
        discriminator: text("MboxRequest"),
        address: Some(address.clone()),
        parameters: parameters.clone(),
        profile_parameters: parameters.clone(),
        order: Some(order.clone()),
        product: Some(product.clone()),
        extra: extra(),
    };
    let view_request = ViewRequest {
        name: text("cart"),
        key: text("k"),
        discriminator: text("ViewRequest"),
        address: Some(address.clone()),
        parameters: parameters.clone(),
        profile_parameters: parameters.clone(),
        order: Some(order.clone()),
        product: Some(product.clone()),
        extra: extra(),
    };
    let notification_mbox = NotificationMbox { name: text("home"), state: text("s"), extra: extra() };
    let notification_view = NotificationView { name: text("cart"), key: text("k"), state: text("s"), extra: extra() };
    let notification_page_load = NotificationPageLoad { state: text("s"), extra: extra() };
    let notification = Notification {
        id: text("n1"),
        impression_id: text("i1"),
        r#type: Some(MetricType::Display),
        timestamp: Some(1_700_000_000_000),
        tokens: Some(vec!["t1".into()]),
        mbox: Some(notification_mbox.clone()),
        view: Some(notification_view.clone()),
        page_load: Some(notification_page_load.clone()),
        discriminator: text("Notification"),
        address: Some(address.clone()),
        parameters: parameters.clone(),
        profile_parameters: parameters.clone(),
        order: Some(order.clone()),
        product: Some(product.clone()),
        extra: extra(),
    };

    let mobile_platform = MobilePlatform {
        device_name: text("d"),
        device_type: Some(DeviceType::Phone),
        platform_type: Some(MobilePlatformType::Ios),
        version: text("17"),
        extra: extra(),
    };
    let application = Application { id: text("a"), name: text("app"), version: text("1"), extra: extra() };
    let screen = Screen {
        width: Some(1200.0),
        height: Some(1400.0),
        color_depth: Some(32.0),
        pixel_ratio: Some(1.5),
        orientation: Some(ScreenOrientationType::Portrait),
        extra: extra(),
    };
    let window = Window { width: Some(800.0), height: Some(600.5), extra: extra() };
    let browser =
        Browser { host: text("a.example"), language: text("de"), web_gl_renderer: text("gpu"), extra: extra() };
    let geo = Geo {
        ip_address: text("192.0.2.1"),
        latitude: Some(48.853_409_1),
        longitude: Some(2.0),
        country_code: text("FR"),
        state_code: text("75"),
        city: text("Paris"),
        zip: text("75001"),
        extra: extra(),
    };
    let client_hints = ClientHints {
        mobile: Some(true),
        model: text("m"),
        platform: text("Linux"),
        platform_version: text("6"),
        browser_ua_with_major_version: text("b"),
        browser_ua_with_full_version: text("b"),
        architecture: text("x86"),
        bitness: text("64"),
        extra: extra(),
    };
    let context = Context {
        channel: Some(ChannelType::Web),
        mobile_platform: Some(mobile_platform.clone()),
        application: Some(application.clone()),
        screen: Some(screen.clone()),
        window: Some(window.clone()),
        browser: Some(browser.clone()),
        address: Some(address.clone()),
        geo: Some(geo.clone()),
        time_offset_in_minutes: Some(60.0),
        user_agent: text("agent"),
        client_hints: Some(client_hints.clone()),
        beacon: Some(false),
        extra: extra(),
    };

    let customer_id = CustomerId {
        id: text("c1"),
        integration_code: text("crm"),
        authenticated_state: Some(AuthenticatedState::LoggedOut),
        extra: extra(),
    };
    let visitor_id = VisitorId {
        tnt_id: text("t.35_0"),
        third_party_id: text("third"),
        marketing_cloud_visitor_id: text("ecid"),
        customer_ids: Some(vec![customer_id.clone()]),
        extra: extra(),
    };
    let audience_manager = AudienceManager { location_hint: Some(9), blob: text("b"), extra: extra() };
    let analytics_request = AnalyticsRequest {
        supplemental_data_id: text("0123456789ABCDEF-0123456789ABCDEF"),
        logging: Some(LoggingType::ClientSide),
        tracking_server: text("t.example"),
        tracking_server_secure: text("t.example"),
        extra: extra(),
    };
    let experience_cloud = ExperienceCloud {
        audience_manager: Some(audience_manager.clone()),
        analytics: Some(analytics_request.clone()),
        extra: extra(),
    };
    let preview_index = QaModePreviewIndex { activity_index: Some(1), experience_index: Some(2), extra: extra() };
    let qa_mode = QaMode {
        token: text("q"),
        listed_activities_only: Some(true),
        evaluate_as_true_audience_ids: Some(vec![1]),
        evaluate_as_false_audience_ids: Some(vec![2]),
        preview_indexes: Some(vec![preview_index.clone()]),
        extra: extra(),
    };
    let preview = Preview { token: text("p"), extra: extra() };
    let property = Property { token: text("at"), extra: extra() };
    let trace = Trace { authorization_token: text("a"), usage: map(json!({"u": "1"})), extra: extra() };

    let telemetry_features = TelemetryFeatures {
        decisioning_method: Some(DecisioningMethod::Hybrid),
        execute_mbox_count: Some(1),
        execute_page_load: Some(true),
        prefetch_mbox_count: Some(1),
        prefetch_page_load: Some(true),
        prefetch_view_count: Some(1),
        extra: extra(),
    };
    let telemetry_request = TelemetryRequest {
        dns: Some(1.0),
        tls: Some(2.0),
        time_to_first_byte: Some(3.5),
        download: Some(4.0),
        response_size: Some(5),
        extra: extra(),
    };
    let telemetry_entry = TelemetryEntry {
        request_id: text("r0"),
        timestamp: Some(1_700_000_000_000),
        mode: Some(ExecutionMode::Edge),
        execution: Some(1.5),
        parsing: Some(2.0),
        features: Some(telemetry_features.clone()),
        request: Some(telemetry_request.clone()),
        telemetry_server_token: text("server"),
        extra: extra(),
    };
    let telemetry = Telemetry { entries: Some(vec![telemetry_entry.clone()]), extra: extra() };

    let execute_request =
        ExecuteRequest { page_load: Some(details.clone()), mboxes: Some(vec![mbox_request.clone()]), extra: extra() };
    let prefetch_request = PrefetchRequest {
        views: Some(vec![view_request.clone()]),
        page_load: Some(details.clone()),
        mboxes: Some(vec![mbox_request.clone()]),
        extra: extra(),
    };
    let request = DeliveryRequest {
        request_id: text("r1"),
        impression_id: text("i1"),
        id: Some(visitor_id.clone()),
        environment_id: Some(1),
        property: Some(property.clone()),
        trace: Some(trace.clone()),
        context: Some(context.clone()),
        experience_cloud: Some(experience_cloud.clone()),
        execute: Some(execute_request.clone()),
        prefetch: Some(prefetch_request.clone()),
        telemetry: Some(telemetry.clone()),
        notifications: Some(vec![notification.clone()]),
        qa_mode: Some(qa_mode.clone()),
        preview: Some(preview.clone()),
        extra: extra(),
    };

    let action = Action {
        r#type: text("setHtml"),
        selector: text("#a"),
        css_selector: text("#a"),
        content: Some(json!("A")),
        extra: extra(),
    };
    let option = OfferOption {
        r#type: Some(OptionType::Actions),
        content: Some(json!([action])),
        event_token: text("e"),
        response_tokens: map(json!({"activity.id": 1})),
        extra: extra(),
    };
    let payload = AnalyticsPayload { pe: text("tnt"), tnta: text("1:0:0"), extra: extra() };
    let analytics = AnalyticsResponse { payload: Some(payload.clone()), extra: extra() };
    let metric = Metric {
        r#type: Some(MetricType::Click),
        selector: text("#b"),
        event_token: text("e"),
        analytics: Some(analytics.clone()),
        extra: extra(),
    };
    let decision_trace = map(json!({"clientCode": "demo"}));
    let page_load = PageLoadResponse {
        options: Some(vec![option.clone()]),
        metrics: Some(vec![metric.clone()]),
        analytics: Some(analytics.clone()),
        state: text("s"),
        trace: decision_trace.clone(),
        extra: extra(),
    };
    let mbox = MboxResponse {
        discriminator: text("MboxResponse"),
        index: Some(1),
        name: text("home"),
        options: Some(vec![option.clone()]),
        metrics: Some(vec![metric.clone()]),
        analytics: Some(analytics.clone()),
        trace: decision_trace.clone(),
        extra: extra(),
    };
    let prefetched_mbox = PrefetchMboxResponse {
        discriminator: text("PrefetchMboxResponse"),
        index: Some(1),
        name: text("home"),
        options: Some(vec![option.clone()]),
        metrics: Some(vec![metric.clone()]),
        analytics: Some(analytics.clone()),
        trace: decision_trace.clone(),
        state: text("s"),
        extra: extra(),
    };
    let view = View {
        name: text("cart"),
        key: text("k"),
        options: Some(vec![option.clone()]),
        metrics: Some(vec![metric.clone()]),
        analytics: Some(analytics.clone()),
        state: text("s"),
        trace: decision_trace.clone(),
        extra: extra(),
    };
    let notification_response = NotificationResponse { id: text("n1"), trace: decision_trace, extra: extra() };
    let execute =
        ExecuteResponse { page_load: Some(page_load.clone()), mboxes: Some(vec![mbox.clone()]), extra: extra() };
    let prefetch = PrefetchResponse {
        views: Some(vec![view.clone()]),
        page_load: Some(page_load.clone()),
        mboxes: Some(vec![prefetched_mbox.clone()]),
        metrics: Some(vec![metric.clone()]),
        extra: extra(),
    };
    let response = DeliveryResponse {
        status: Some(200),
        request_id: text("r1"),
        id: Some(visitor_id.clone()),
        client: text("demo"),
        edge_host: text("mboxedge35.tt.omtrdc.net"),
        execute: Some(execute.clone()),
        prefetch: Some(prefetch.clone()),
        notifications: Some(vec![notification_response.clone()]),
        telemetry_server_token: text("server"),
        extra: extra(),
    };

    BTreeMap::from([
        ("Action", json!(action)),
        ("Address", json!(address)),
        ("AnalyticsPayload", json!(payload)),
        ("AnalyticsRequest", json!(analytics_request)),
        ("AnalyticsResponse", json!(analytics)),
        ("Application", json!(application)),
        ("AudienceManager", json!(audience_manager)),
        ("Browser", json!(browser)),
        ("ClientHints", json!(client_hints)),
        ("Context", json!(context)),
        ("CustomerId", json!(customer_id)),
        ("DeliveryRequest", json!(request)),
        ("DeliveryResponse", json!(response)),
        ("ExecuteRequest", json!(execute_request)),
        ("ExecuteResponse", json!(execute)),
        ("ExperienceCloud", json!(experience_cloud)),
        ("Geo", json!(geo)),
        ("MboxRequest", json!(mbox_request)),
        ("MboxResponse", json!(mbox)),
        ("Metric", json!(metric)),
        ("MobilePlatform", json!(mobile_platform)),
        ("Notification", json!(notification)),
        ("NotificationMbox", json!(notification_mbox)),
        ("NotificationPageLoad", json!(notification_page_load)),
        ("NotificationResponse", json!(notification_response)),
        ("NotificationView", json!(notification_view)),
        ("Option", json!(option)),
        ("Order", json!(order)),
        ("PageLoadResponse", json!(page_load)),
        ("PrefetchMboxResponse", json!(prefetched_mbox)),
        ("PrefetchRequest", json!(prefetch_request)),
        ("PrefetchResponse", json!(prefetch)),
        ("Preview", json!(preview)),
        ("Product", json!(product)),
        ("Property", json!(property)),
        ("QAMode", json!(qa_mode)),
        ("QAModePreviewIndex", json!(preview_index)),
        ("RequestDetails", json!(details)),
        ("Screen", json!(screen)),
        ("Telemetry", json!(telemetry)),
        ("TelemetryEntry", json!(telemetry_entry)),
        ("TelemetryFeatures", json!(telemetry_features)),
        ("TelemetryRequest", json!(telemetry_request)),
        ("Trace", json!(trace)),
        ("View", json!(view)),
        ("ViewRequest", json!(view_request)),
        ("VisitorId", json!(visitor_id)),
        ("Window", json!(window)),
    ])
}
