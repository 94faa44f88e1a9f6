//! Every route of the dialect.

use std::sync::Arc;

use strongroom_core::house::House;
use strongroom_dialect_kit::Caller::{Anyone, LoggedIn};
use strongroom_dialect_kit::Route;

use crate::handlers::{account, login, secrets};

/// The table that the router is built from.
#[must_use]
pub fn routes() -> Vec<Route<Arc<House>>> {
    vec![
        Route::post("/user-svc/login", Anyone, login::log_in),
        Route::post("/user-svc/register", Anyone, login::register),
        Route::post("/user-svc/refresh-token", LoggedIn, login::refresh),
        Route::get("/user-svc/public-key", Anyone, account::public_key),
        Route::post("/user-svc/self", LoggedIn, account::who_am_i),
        Route::post("/secret-svc/secrets", LoggedIn, secrets::list),
        Route::put("/secret-svc/secrets", LoggedIn, secrets::save),
        Route::delete("/secret-svc/secrets", LoggedIn, secrets::remove),
        Route::get("/secret-svc/is-secure", LoggedIn, secrets::is_secure),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_makes_a_router() {
        let _ = strongroom_dialect_kit::router(super::routes());
    }
}
