//! Every route of the dialect.

use std::sync::Arc;

use strongroom_core::house::House;
use strongroom_dialect_kit::Caller::{Anyone, LoggedIn};
use strongroom_dialect_kit::Route;

use crate::handlers::{access, account, audit, document, keys, operator, people, secrets, slots};

/// The table that the router is built from.
#[must_use]
pub fn routes() -> Vec<Route<Arc<House>>> {
    vec![
        Route::get("/strongroom/v1/openapi.json", Anyone, document),
        Route::post("/strongroom/v1/login", Anyone, account::log_in),
        Route::get("/strongroom/v1/whoami", LoggedIn, account::who_am_i),
        Route::post("/strongroom/v1/audit/leaves", LoggedIn, audit::leaves),
        Route::post("/strongroom/v1/audit/request", LoggedIn, audit::request),
        Route::post("/strongroom/v1/audit/proof", LoggedIn, audit::proof),
        Route::post("/strongroom/v1/audit/growth", LoggedIn, audit::growth),
        Route::post("/strongroom/v1/access/explain", LoggedIn, access::explain),
        Route::post("/strongroom/v1/access/who-can", LoggedIn, access::who_can),
        Route::post("/strongroom/v1/access/review", LoggedIn, access::review),
        Route::post("/strongroom/v1/access/request", LoggedIn, access::ask),
        Route::post("/strongroom/v1/access/requests", LoggedIn, access::requests),
        Route::post("/strongroom/v1/principals/add", LoggedIn, people::add),
        Route::post("/strongroom/v1/principals/list", LoggedIn, people::list),
        Route::post("/strongroom/v1/principals/disable", LoggedIn, people::disable),
        Route::post("/strongroom/v1/principals/enable", LoggedIn, people::enable),
        Route::post("/strongroom/v1/groups/join", LoggedIn, people::join),
        Route::post("/strongroom/v1/groups/leave", LoggedIn, people::leave),
        Route::post("/strongroom/v1/invitations/create", LoggedIn, people::invite),
        Route::post("/strongroom/v1/invitations/accept", Anyone, people::accept),
        Route::post("/strongroom/v1/tokens/list", LoggedIn, people::list_tokens),
        Route::post("/strongroom/v1/tokens/revoke", LoggedIn, people::revoke_token),
        Route::post("/strongroom/v1/secrets/read", LoggedIn, secrets::read),
        Route::post("/strongroom/v1/secrets/put", LoggedIn, secrets::put),
        Route::post("/strongroom/v1/secrets/rollback", LoggedIn, secrets::rollback),
        Route::post("/strongroom/v1/secrets/remove", LoggedIn, secrets::remove),
        Route::post("/strongroom/v1/secrets/undelete", LoggedIn, secrets::undelete),
        Route::post("/strongroom/v1/secrets/describe", LoggedIn, secrets::describe),
        Route::post("/strongroom/v1/secrets/annotate", LoggedIn, secrets::annotate),
        Route::post("/strongroom/v1/secrets/stale", LoggedIn, secrets::stale),
        Route::post("/strongroom/v1/secrets/list", LoggedIn, secrets::list),
        Route::post("/strongroom/v1/secrets/search", LoggedIn, secrets::search),
        Route::get("/strongroom/v1/keys", LoggedIn, keys::show),
        Route::post("/strongroom/v1/keys/rotate", LoggedIn, keys::rotate),
        Route::post("/strongroom/v1/keys/rewrap", LoggedIn, keys::rewrap),
        Route::post("/strongroom/v1/operator/slots/list", LoggedIn, slots::list),
        Route::post("/strongroom/v1/operator/slots/add", LoggedIn, slots::add),
        Route::post("/strongroom/v1/operator/slots/remove", LoggedIn, slots::remove),
        Route::post("/strongroom/v1/operator/slots/check", LoggedIn, slots::check),
        Route::post("/strongroom/v1/operator/slots/drill", LoggedIn, slots::drill),
        Route::get("/strongroom/v1/operator/status", Anyone, operator::status),
        Route::post("/strongroom/v1/operator/init", Anyone, operator::init),
        Route::post("/strongroom/v1/operator/unseal", Anyone, operator::unseal),
        Route::post("/strongroom/v1/operator/seal", LoggedIn, operator::seal),
        Route::post(
            "/strongroom/v1/operator/generate-root",
            Anyone,
            operator::generate_root,
        ),
        Route::post("/strongroom/v1/operator/rekey", LoggedIn, operator::rekey),
        Route::post(
            "/strongroom/v1/operator/rekey/confirm",
            LoggedIn,
            operator::confirm_rekey,
        ),
        Route::post(
            "/strongroom/v1/operator/rekey/cancel",
            LoggedIn,
            operator::cancel_rekey,
        ),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_makes_a_router_and_lies_under_the_prefix() {
        let routes = super::routes();
        assert!(
            routes
                .iter()
                .all(|route| route.template.starts_with(crate::PREFIX))
        );
        let _ = strongroom_dialect_kit::router(routes);
    }
}
