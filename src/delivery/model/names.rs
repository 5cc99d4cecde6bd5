//! The API's closed sets of names (channel, device, kind of notification …) as enums. Each keeps
//! a text that it does not know in `Other`, so that a name the API adds later passes through.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Defines an enum of texts that reads and writes texts it does not know unchanged.
macro_rules! names {
    (
        $(#[$enum_attribute:meta])*
        $name:ident {
            $($(#[$variant_attribute:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$enum_attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_attribute])* $variant,)+
            /// A text that this version of the crate does not know, sent and kept as it is.
            /// Make it with `From`, which picks the named variant for a known text.
            Other(String),
        }

        impl $name {
            /// The text as on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text.to_owned()),
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

names! {
    /// Where the visitor is (component `ChannelType`). Only activities of the same channel are
    /// evaluated.
    ChannelType {
        /// A mobile app.
        Mobile = "mobile",
        /// A web page, the default of this client.
        Web = "web",
    }
}

names! {
    /// Kind of a mobile device (component `DeviceType`). Evaluated are activities for this kind
    /// and those for any.
    DeviceType {
        /// A phone.
        Phone = "phone",
        /// A tablet.
        Tablet = "tablet",
    }
}

names! {
    /// Operating system of a mobile device (component `MobilePlatformType`). Only activities for
    /// the same platform are evaluated.
    MobilePlatformType {
        /// Android.
        Android = "android",
        /// iOS.
        Ios = "ios",
    }
}

names! {
    /// How the screen is held (component `ScreenOrientationType`). Only activities for the same
    /// orientation are evaluated.
    ScreenOrientationType {
        /// Higher than wide.
        Portrait = "portrait",
        /// Wider than high.
        Landscape = "landscape",
    }
}

names! {
    /// Who tells Adobe Analytics about the activities shown (component `LoggingType`).
    LoggingType {
        /// Target's edge servers, the default of this client.
        ServerSide = "server_side",
        /// The page, with the payload that the response carries.
        ClientSide = "client_side",
    }
}

names! {
    /// What a notification tells or a metric counts (component `MetricType`).
    MetricType {
        /// An element was clicked.
        Click = "click",
        /// Content was shown.
        Display = "display",
    }
}

names! {
    /// What the content of an option is (component `OptionType`).
    OptionType {
        /// HTML text.
        Html = "html",
        /// Any JSON.
        Json = "json",
        /// The address to go to.
        Redirect = "redirect",
        /// The address of a dynamic offer.
        Dynamic = "dynamic",
        /// A list of changes to the page, see [`Action`](super::Action).
        Actions = "actions",
    }
}

names! {
    /// Whether a customer id is known to belong to the visitor (component `AuthenticatedState`).
    AuthenticatedState {
        /// Not known.
        Unknown = "unknown",
        /// Logged in.
        Authenticated = "authenticated",
        /// Logged out again.
        LoggedOut = "logged_out",
    }
}

names! {
    /// Where decisions are made, as telemetry reports it (component `DecisioningMethod` of the API). What a client or a
    /// call is set to is [`adobe_target::DecisioningMethod`](crate::DecisioningMethod).
    DecisioningMethod {
        /// On Target's servers.
        ServerSide = "server-side",
        /// In this process, from the rules file.
        OnDevice = "on-device",
        /// In this process where the rules allow it, else on Target's servers.
        Hybrid = "hybrid",
    }
}

names! {
    /// Where a call was answered, as telemetry reports it (component `ExecutionMode`).
    ExecutionMode {
        /// On Target's servers.
        Edge = "edge",
        /// In this process.
        Local = "local",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn known_texts_have_their_variant() {
        assert_eq!(ChannelType::from("web"), ChannelType::Web);
        assert_eq!(DecisioningMethod::from("on-device".to_owned()), DecisioningMethod::OnDevice);
        assert_eq!(json!(LoggingType::ServerSide), json!("server_side"));
        assert_eq!(AuthenticatedState::LoggedOut.as_str(), "logged_out");
        assert_eq!(format!("{:>8}", MetricType::Click), "   click");
    }

    #[test]
    fn unknown_texts_round_trip() {
        for text in ["hologram", "", "HTML", " html"] {
            let name: OptionType = serde_json::from_value(json!(text)).unwrap();

            assert_eq!(name, OptionType::Other(text.to_owned()));
            assert_eq!(json!(name), json!(text));
        }
    }

    #[test]
    fn only_texts_are_names() {
        for value in [json!(1), json!(null), json!(["web"]), json!({"web": null})] {
            assert!(serde_json::from_value::<ChannelType>(value).is_err());
        }
    }
}
