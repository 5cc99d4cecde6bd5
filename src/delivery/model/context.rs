//! Where and on what the visitor is: channel, page, device, screen, place. Audiences of activities
//! are evaluated against these members. Data only, read strictly.

use super::wire::plain_number;
use super::{ChannelType, DeviceType, MobilePlatformType, ScreenOrientationType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The surroundings of a request (component `Context`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// Web page or mobile app. The API requires it; this client sends `web` when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelType>,
    /// The mobile device, for the channel `mobile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mobile_platform: Option<MobilePlatform>,
    /// The app that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<Application>,
    /// The device's screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen: Option<Screen>,
    /// The browser's window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The browser, for the channel `web` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub browser: Option<Browser>,
    /// The page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The visitor's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geo: Option<Geo>,
    /// The visitor's local time as minutes east of UTC, a fraction is allowed. This client sends
    /// the offset of the machine it runs on when it is absent.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub time_offset_in_minutes: Option<f64>,
    /// The browser's `User-Agent`. The API takes it from here and ignores the HTTP header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The browser's client hints, which take the place of the user agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_hints: Option<ClientHints>,
    /// Asks for the answer 204 without a body. False when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beacon: Option<bool>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A page and where the visitor came from (component `Address`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// Address of the page, at most 4096 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Address of the page before, at most 4096 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referring_url: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The app that asks (component `Application`), to be matched with that of the activities.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Id of the app, at most 250 characters. Only activities of this id are evaluated, or of any
    /// when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the app, at most 250 characters. Only activities of this name are evaluated, or of
    /// any when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Version of the app, at most 128 characters. Only activities of this version are evaluated;
    /// when it is absent, the specification leaves out activities that name a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The browser (component `Browser`), for the channel `web` only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Browser {
    /// Host of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Languages in the form of an `Accept-Language` header (RFC 7231, 5.3.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The graphics hardware's name as WebGL tells it; helps to recognise the device.
    #[serde(rename = "webGLRenderer", skip_serializing_if = "Option::is_none")]
    pub web_gl_renderer: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What the browser tells in its `Sec-CH-UA` headers (component `ClientHints`). Used in place of
/// the user agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientHints {
    /// `Sec-CH-UA-Mobile`: whether the device is a mobile one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mobile: Option<bool>,
    /// `Sec-CH-UA-Model`: model of the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `Sec-CH-UA-Platform`: operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// `Sec-CH-UA-Platform-Version`: version of the operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    /// `Sec-CH-UA`: brands of the browser with their major versions.
    #[serde(rename = "browserUAWithMajorVersion", skip_serializing_if = "Option::is_none")]
    pub browser_ua_with_major_version: Option<String>,
    /// `Sec-CH-UA-Full-Version-List`: brands of the browser with their full versions.
    #[serde(rename = "browserUAWithFullVersion", skip_serializing_if = "Option::is_none")]
    pub browser_ua_with_full_version: Option<String>,
    /// `Sec-CH-UA-Arch`: architecture of the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// `Sec-CH-UA-Bitness`: word size of the processor in bits, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitness: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The visitor's place (component `Geo`). Target derives it from the IP address of the request
/// when it is absent and the client's account has the feature.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Geo {
    /// IPv4 or IPv6 address to derive the place from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// Degrees north. Held as `f64`, though the API states single precision: rounding would change
    /// the digits that the caller wrote.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east, as [`latitude`](Self::latitude).
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Country, the two letters of ISO 3166-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// State or region, the one to three characters of ISO 3166-2 after the country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_code: Option<String>,
    /// City, at most 50 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Postal code, at most 12 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The mobile device (component `MobilePlatform`), for the channel `mobile`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MobilePlatform {
    /// Name of the device as the Mobile SDK's `a.DeviceName`; helps to recognise the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// Phone or tablet. The API requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<DeviceType>,
    /// Operating system. The API requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_type: Option<MobilePlatformType>,
    /// Version of the operating system, at most 128 characters. Only activities of this version
    /// are evaluated, or of any when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The device's screen (component `Screen`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Screen {
    /// Width in pixels.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// Height in pixels.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub height: Option<f64>,
    /// Bits per pixel.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub color_depth: Option<f64>,
    /// Device pixels per CSS pixel; helps to recognise the device.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub pixel_ratio: Option<f64>,
    /// How the screen is held. Activities for any orientation are evaluated when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orientation: Option<ScreenOrientationType>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The browser's window (component `Window`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Width in pixels.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// Height in pixels.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub height: Option<f64>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
