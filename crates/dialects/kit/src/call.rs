//! The way of every request through the core.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_base::RequestId;
use strongroom_core::accounts::Malformed;
use strongroom_core::house::{Errand, House, NoErrand, Visit};
use strongroom_core::{Credential, Request};
use strongroom_sdk::{Error, NotProved, Op};
use strongroom_secret::SecretText;

use crate::{Body, Head, json, reply};

/// What tells one dialect's requests and answers from another's.
pub trait Wire: 'static {
    /// Whether strangers are told what is wrong with a request before they are told to log in.
    const TELLS_STRANGERS: bool;

    /// The token in a request's headers. What is there and no token is an unknown one, not an absent one.
    fn token(headers: &HeaderMap) -> Option<SecretText>;

    /// The request in a body.
    ///
    /// # Errors
    /// `Invalid`, naming the field that is wrong.
    fn read<R: DeserializeOwned>(body: &[u8]) -> Result<R, Error> {
        json::object(body)
    }

    /// The answer for `error`, whose causes go to the log.
    fn refusal(id: RequestId, error: &Error) -> Response;

    /// The answer for a body that [`read`](Self::read) refused.
    fn unreadable(id: RequestId, error: &Error) -> Response {
        Self::refusal(id, error)
    }
}

/// A request of dialect `W` on its way to the core.
pub struct Call<W> {
    house: Arc<House>,
    id: RequestId,
    source: Arc<str>,
    caller: Credential,
    is_for_anyone: bool,
    wire: PhantomData<fn() -> W>,
}

impl<W: Wire> FromRequestParts<Arc<House>> for Call<W> {
    /// As for [`Head`].
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, house: &Arc<House>) -> Result<Self, StatusCode> {
        let head = Head::from_request_parts(parts, house).await?;
        Ok(Self {
            house: house.clone(),
            id: head.id,
            source: head.source,
            caller: credential::<W>(&parts.headers, head.url_token),
            is_for_anyone: W::TELLS_STRANGERS,
            wire: PhantomData,
        })
    }
}

/// A token in the URL goes first, so that no other one hides it from the gate.
fn credential<W: Wire>(headers: &HeaderMap, url_token: Option<SecretText>) -> Credential {
    let in_url = url_token.map(Credential::TokenInUrl);
    in_url
        .or_else(|| W::token(headers).map(Credential::Token))
        .unwrap_or(Credential::None)
}

impl<W: Wire> Call<W> {
    /// The same request, of which also strangers are told what is wrong with it.
    #[must_use]
    pub fn for_anyone(self) -> Self {
        Self {
            is_for_anyone: true,
            ..self
        }
    }

    /// Reads an `R` from `body`, makes an op of it, and answers what `encode` makes of the op's outcome.
    pub async fn ask_json<R, O, A>(
        self,
        body: Body,
        decode: impl FnOnce(R) -> Result<O, Error>,
        encode: impl FnOnce(O::Outcome) -> A,
    ) -> Response
    where
        R: DeserializeOwned,
        O: Op,
        A: Serialize,
    {
        // The body's buffer is wiped here, before the op runs.
        let request = match body.into_bytes().and_then(|bytes| W::read(bytes.expose())) {
            Ok(request) => request,
            Err(error) => return self.refuse(error, W::unreadable).await,
        };
        match decode(request) {
            Ok(op) => self.ask(op, encode).await,
            Err(error) => self.refuse(error, W::refusal).await,
        }
    }

    /// Runs `op`, and answers what `encode` makes of its outcome.
    pub async fn ask<O: Op, A: Serialize>(self, op: O, encode: impl FnOnce(O::Outcome) -> A) -> Response {
        let id = self.id;
        answer::<W, _, _>(id, self.run(op).await, encode)
    }

    /// Has the request recorded as one that is no op, and answers what `render` makes of `error`, or of whatever kept
    /// the record from being written.
    pub async fn refuse(self, error: Error, render: impl FnOnce(RequestId, &Error) -> Response) -> Response {
        let id = self.id;
        let op = Malformed {
            error,
            is_for_anyone: self.is_for_anyone,
        };
        match self.run(op).await {
            Err(error) => render(id, &error),
            Ok(never) => match never {},
        }
    }

    /// Has `ask` run `op` with the house itself, and answers what `encode` makes of its outcome.
    pub async fn ask_by<O, T, A, F>(
        self,
        op: O,
        ask: impl FnOnce(Arc<House>, Request<O>) -> F,
        encode: impl FnOnce(T) -> A,
    ) -> Response
    where
        A: Serialize,
        F: Future<Output = Result<T, Error>>,
    {
        let (id, house, request) = self.into_request(op);
        answer::<W, _, _>(id, ask(house, request).await, encode)
    }

    /// Reads an `R` from `body`, makes an errand of it, and answers what `encode` makes of the errand's outcome.
    pub async fn attend_json<R, E, A>(
        self,
        body: Body,
        decode: impl FnOnce(R) -> Result<E, Error>,
        encode: impl FnOnce(E::Outcome) -> A,
    ) -> Response
    where
        R: DeserializeOwned,
        E: Errand,
        A: Serialize,
    {
        let request = body.into_bytes().and_then(|bytes| W::read(bytes.expose()));
        match request.and_then(decode) {
            Ok(errand) => self.attend(errand, encode).await,
            Err(error) => {
                self.attend(NoErrand { error }, |never| -> () { match never {} })
                    .await
            }
        }
    }

    /// Runs `errand`, which no token is asked for, and answers what `encode` makes of its outcome.
    pub async fn attend<E: Errand, A: Serialize>(
        self,
        errand: E,
        encode: impl FnOnce(E::Outcome) -> A,
    ) -> Response {
        if matches!(self.caller, Credential::TokenInUrl(_)) {
            let error = Error::Unauthenticated(NotProved::TokenInUrl);
            return self.for_anyone().refuse(error, W::refusal).await;
        }
        let Self {
            house, id, source, ..
        } = self;
        answer::<W, _, _>(id, house.attend(Visit { id, source }, errand).await, encode)
    }

    async fn run<O: Op>(self, op: O) -> Result<O::Outcome, Error> {
        let (_, house, request) = self.into_request(op);
        house.call(request).await
    }

    fn into_request<O>(self, op: O) -> (RequestId, Arc<House>, Request<O>) {
        let request = Request {
            id: self.id,
            caller: self.caller,
            source: self.source,
            op,
        };
        (self.id, self.house, request)
    }
}

/// What `encode` makes of an outcome, or the refusal.
fn answer<W: Wire, T, A: Serialize>(
    id: RequestId,
    outcome: Result<T, Error>,
    encode: impl FnOnce(T) -> A,
) -> Response {
    outcome
        .and_then(|outcome| reply::json(StatusCode::OK, &encode(outcome)))
        .unwrap_or_else(|error| W::refusal(id, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bare;

    impl Wire for Bare {
        const TELLS_STRANGERS: bool = false;

        fn token(_: &HeaderMap) -> Option<SecretText> {
            Some(SecretText::new("in the header".into()))
        }

        fn refusal(_: RequestId, _: &Error) -> Response {
            Response::default()
        }
    }

    #[test]
    fn a_token_in_the_url_hides_behind_no_other() {
        let url_token = Some(SecretText::new("leaked".into()));
        let leaked = credential::<Bare>(&HeaderMap::new(), url_token);
        assert!(matches!(leaked, Credential::TokenInUrl(token) if token.expose() == "leaked"));
        assert!(matches!(
            credential::<Bare>(&HeaderMap::new(), None),
            Credential::Token(_)
        ));
    }
}
