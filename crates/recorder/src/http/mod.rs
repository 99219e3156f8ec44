//! The service's own page and API.
//!
//! How the recorder is can be read by everybody. Whatever shows people, says when there were any, or starts and stops a
//! recording, needs the token.

mod access;
mod clip;
mod guesses;
mod metrics;
mod sessions;
mod status;
mod video;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use kit::{Kit, Secret};

use crate::control::Control;
use crate::heartbeat::Heartbeat;
use crate::session::Library;
use crate::upload::Uploads;

use access::Access;
use clip::Places;

pub use metrics::register as register_metrics;

/// The secret that holds the token.
pub const TOKEN: &str = "bearer-token";

/// The state that the handlers use.
#[derive(Clone)]
pub struct Api(Arc<Sources>);

/// The parts of the service that the handlers use.
pub struct Sources {
    kit: Kit,
    control: Control,
    library: Library,
    uploads: Arc<Uploads>,
    heartbeat: Heartbeat,
    access: Access,
    clips: Places,
}

impl Sources {
    /// `token` is the one that opens what not everybody may see.
    pub fn new(
        kit: &Kit,
        control: Control,
        library: Library,
        uploads: Arc<Uploads>,
        heartbeat: Heartbeat,
        token: Option<Secret>,
    ) -> Arc<Self> {
        let name = kit.credentials().full_name(TOKEN);
        Arc::new(Sources {
            kit: kit.clone(),
            control,
            library,
            uploads,
            heartbeat,
            access: Access::new(token, name),
            clips: Places::default(),
        })
    }
}

/// The page plays videos, which the kit's policy does not foresee.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of the service.
pub fn routes(sources: Arc<Sources>) -> Router {
    let api = Api(sources);
    let guarded = Router::new()
        .route("/api/start", post(status::start))
        .route("/api/stop", post(status::stop))
        .route("/api/live.jpg", get(status::live))
        .route("/api/sessions", get(sessions::list))
        .route(
            "/api/sessions/{id}",
            get(sessions::one).delete(sessions::delete),
        )
        .route("/api/sessions/{id}/thumbnail.jpg", get(sessions::thumbnail))
        .route("/api/sessions/{id}/video.mp4", get(sessions::video))
        .route("/api/sessions/{id}/clip.mp4", get(clip::cut))
        .route_layer(middleware::from_fn_with_state(api.clone(), access::guard));
    Router::new()
        .route("/api/status", get(status::status))
        .route("/api/login", post(access::log_in))
        .route("/api/logout", post(access::log_out))
        .merge(guarded)
        .with_state(api)
        .merge(page())
}

fn page() -> Router {
    kit::page::files([
        ("/", include_str!("../page/index.html")),
        ("/recorder.css", include_str!("../page/recorder.css")),
        ("/words.js", include_str!("../page/words.js")),
        ("/player.js", include_str!("../page/player.js")),
        ("/recorder.js", include_str!("../page/recorder.js")),
    ])
    .layer(middleware::map_response(async |mut response: Response| {
        let policy = HeaderValue::from_static(POLICY);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    }))
}
