//! Every route of the dialect.

use std::sync::Arc;

use strongroom_core::house::House;
use strongroom_dialect_kit::Caller::{Anyone, LoggedIn};
use strongroom_dialect_kit::Route;

use crate::handlers::{access, account, audit, document, keys, operator, slots};

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
        Route::post("/strongroom/v1/secrets/search", LoggedIn, access::search),
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
