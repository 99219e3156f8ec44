//! The API, sessions, and the files of the page.
//!
//! A handler says by its arguments who may call it (`View`, `Edit`, `Admin`) and what it
//! takes (`Body`, `Number`, …); what does not fit these is refused before the handler begins. Handlers
//! decide nothing: [`crate::plan`] does, and the [`crate::store`] carries it out.

mod audit;
mod body;
mod caller;
mod devices;
mod export;
mod imports;
mod kinds;
mod limits;
mod logos;
mod openapi;
mod passwords;
mod plan;
mod racks;
mod refusal;
mod search;
mod session;
mod token;
mod tokens;
mod users;
mod work;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use tracing::Instrument;

use crate::cache::{Cache, Group};
use crate::config::{AccessSettings, Config};
use crate::page;
use crate::preparation::Preparation;
use crate::store::{self, Store, Who};

use caller::{Caller, Callers};
use limits::Limits;
use passwords::Passwords;
use refusal::Refusal;
use work::Work;

/// What is derived from racks and devices.
const OF_DEVICES: &[Group] = &[Group::Plan, Group::Thermal, Group::Optimise, Group::Search];
/// What is derived from kinds, which devices are of.
const OF_KINDS: &[Group] = &Group::ALL;

/// The state that the handlers use.
#[derive(Clone)]
pub struct Api(Arc<Sources>);

/// The parts of the planner that the handlers use.
pub struct Sources {
    store: Store,
    cache: Cache,
    preparation: Preparation,
    access: AccessSettings,
    limits: Limits,
    callers: Callers,
    passwords: Passwords,
    work: Work,
    /// The longest that one optimisation may take.
    optimisation: Duration,
}

impl Deref for Api {
    type Target = Sources;

    fn deref(&self) -> &Sources {
        &self.0
    }
}

impl Api {
    /// What the handlers work with.
    pub fn new(config: &Config, store: Store, cache: Cache, preparation: Preparation) -> Self {
        let limits = Limits::new(&config.limits, cache.limiter());
        Api(Arc::new(Sources {
            store,
            cache,
            preparation,
            access: config.access.clone(),
            limits,
            callers: Callers::default(),
            passwords: Passwords::default(),
            work: Work::default(),
            optimisation: Duration::from_millis(config.limits.optimise_milliseconds.into()),
        }))
    }

    /// Changes the database such that what was derived of these groups is not so any more. The change is finished even if the caller
    /// hangs up.
    async fn change<T: Send + 'static, W>(
        &self,
        groups: &'static [Group],
        caller: &Caller,
        write: impl FnOnce(Store, Who) -> W,
    ) -> Result<T, Refusal>
    where
        W: Future<Output = Result<T, store::Error>> + Send + 'static,
    {
        let write = write(self.store.clone(), caller.who());
        Ok(self.cache.change(groups, write).await?)
    }
}

/// The routes of the planner.
pub fn routes(api: Api) -> Router {
    Router::new()
        .route("/api/openapi.json", get(openapi::document))
        .merge(people())
        .merge(things())
        .with_state(api)
        .layer(middleware::from_fn(with_request_id))
        .merge(page::files())
}

/// The routes for people and what they may do.
fn people() -> Router<Api> {
    Router::new()
        .route(
            "/api/session",
            get(session::show)
                .post(session::log_in)
                .delete(session::log_out),
        )
        .route("/api/session/password", put(session::change_password))
        .route("/api/users", get(users::list).post(users::create))
        .route("/api/users/{id}", put(users::change).delete(users::remove))
        .route("/api/tokens", get(tokens::list).post(tokens::create))
        .route("/api/tokens/{id}", delete(tokens::remove))
        .route("/api/audit", get(audit::list))
}

/// The routes for racks and what is in them.
fn things() -> Router<Api> {
    Router::new()
        .route("/api/racks", get(racks::list).post(racks::create))
        .route("/api/racks/import", post(imports::rack))
        .route(
            "/api/racks/{id}",
            get(racks::one).put(racks::change).delete(racks::remove),
        )
        .route("/api/racks/{id}/plan", get(plan::show))
        .route("/api/racks/{id}/thermal", get(plan::thermal))
        .route("/api/racks/{id}/optimise", post(plan::optimise))
        .route("/api/racks/{id}/export.svg", get(export::svg))
        .route("/api/racks/{id}/export.png", get(export::png))
        .route("/api/racks/{id}/export.pdf", get(export::pdf))
        .route("/api/racks/{id}/export.yaml", get(export::yaml))
        .route("/api/racks/{id}/export.csv", get(export::csv))
        .route("/api/devices", get(devices::list).post(devices::create))
        .route(
            "/api/devices/{id}",
            get(devices::one)
                .put(devices::change)
                .delete(devices::remove),
        )
        .route("/api/devices/{id}/place", put(devices::place))
        .route("/api/devices/{id}/check", post(devices::check))
        .route("/api/moves", post(devices::move_all))
        .route("/api/kinds", get(kinds::list).post(kinds::create))
        .route("/api/kinds/import", post(imports::kinds))
        .route(
            "/api/kinds/{id}",
            get(kinds::one).put(kinds::change).delete(kinds::remove),
        )
        .route("/api/search", get(search::search))
        .route("/api/logos", get(logos::list))
        .route(
            "/api/logos/{manufacturer}",
            get(logos::show).put(logos::set).delete(logos::remove),
        )
}

/// Puts the number of the request before whatever is written to the journal because of it.
async fn with_request_id(request: Request, next: Next) -> Response {
    let request_id = caller::request_id(request.headers());
    let span = tracing::info_span!("request", request_id);
    next.run(request).instrument(span).await.into_response()
}
