//! What the dialect offers, and to whom.

use strongroom_dialect_kit::Caller::{self, Anyone, LoggedIn};

#[test]
fn the_routes() {
    let routes: Vec<(String, &str, Caller)> = strongroom_dialect_onebackend::routes()
        .into_iter()
        .map(|route| (route.method.to_string(), route.template, route.caller))
        .collect();
    let expected = [
        ("POST", "/user-svc/login", Anyone),
        ("POST", "/user-svc/register", Anyone),
        ("POST", "/user-svc/refresh-token", LoggedIn),
        ("GET", "/user-svc/public-key", Anyone),
        ("POST", "/user-svc/self", LoggedIn),
        ("POST", "/secret-svc/secrets", LoggedIn),
        ("PUT", "/secret-svc/secrets", LoggedIn),
        ("DELETE", "/secret-svc/secrets", LoggedIn),
        ("GET", "/secret-svc/is-secure", LoggedIn),
    ];
    assert_eq!(
        routes,
        expected.map(|(method, template, caller)| (method.to_owned(), template, caller))
    );
}
