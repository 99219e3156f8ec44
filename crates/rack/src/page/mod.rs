//! The page: HTML, CSS and JavaScript that are sent as they are. It uses the API and nothing else.
//!
//! Its scripts are classic ones that share their names, in the order of [`files`]: each uses what those above it declare when they
//! run, and anything when somebody does something. What can be told apart is: `fit` knows whether something fits, `state` what is
//! known, `change` and `history` how it becomes something else, `draw` and `head` what it looks like, and `carry` what is moved by hand,
//! with `drag` and `keys` for the two ways to do so.

use axum::Router;

/// Serves the page at `/`, and its files beside it.
pub fn files() -> Router {
    kit::page::files([
        ("/", include_str!("index.html")),
        ("/rack.css", include_str!("rack.css")),
        ("/parts.css", include_str!("parts.css")),
        ("/words.js", include_str!("words.js")),
        ("/api.js", include_str!("api.js")),
        ("/state.js", include_str!("state.js")),
        ("/fit.js", include_str!("fit.js")),
        ("/history.js", include_str!("history.js")),
        ("/change.js", include_str!("change.js")),
        ("/draw.js", include_str!("draw.js")),
        ("/head.js", include_str!("head.js")),
        ("/carry.js", include_str!("carry.js")),
        ("/drag.js", include_str!("drag.js")),
        ("/form.js", include_str!("form.js")),
        ("/panel.js", include_str!("panel.js")),
        ("/dialogs.js", include_str!("dialogs.js")),
        ("/optimise.js", include_str!("optimise.js")),
        ("/people.js", include_str!("people.js")),
        ("/keys.js", include_str!("keys.js")),
        ("/app.js", include_str!("app.js")),
    ])
}
