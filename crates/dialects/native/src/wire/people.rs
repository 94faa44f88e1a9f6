//! Principals and tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_base::LeaseId;
use strongroom_core::accounts::{
    AcceptInvitation, AddPrincipal, Invitation, Invite, ListPrincipals, ListTokens, PrincipalFacts,
    PrincipalKind, PrincipalPage, RevokeToken, Revoked, SetMembership, SetStanding, Standing, TokenFacts,
    TokenPage,
};
use strongroom_dialect_kit::{json, reply};

use strongroom_sdk::Error;
use strongroom_secret::SecretText;

/// What a principal is.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KindName {
    User,
    Service,
    Group,
}

impl From<KindName> for PrincipalKind {
    fn from(kind: KindName) -> Self {
        match kind {
            KindName::User => Self::User,
            KindName::Service => Self::Service,
            KindName::Group => Self::Group,
        }
    }
}

impl From<PrincipalKind> for KindName {
    fn from(kind: PrincipalKind) -> Self {
        match kind {
            PrincipalKind::User => Self::User,
            PrincipalKind::Service => Self::Service,
            PrincipalKind::Group => Self::Group,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct AddRequest {
    kind: KindName,
    slug: String,
    /// What people call it.
    #[serde(default)]
    name: String,
    /// The password that it logs in with; a group has none.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "Option<String>")]
    password: Option<SecretText>,
    /// Whether it gets the admin role.
    #[serde(default)]
    is_admin: bool,
}

impl From<AddRequest> for AddPrincipal {
    fn from(request: AddRequest) -> Self {
        Self {
            kind: request.kind.into(),
            slug: request.slug,
            name: request.name,
            password: request.password,
            is_admin: request.is_admin,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct MembershipRequest {
    /// The group's slug.
    group: String,
    /// The slug of the user or service.
    member: String,
}

impl MembershipRequest {
    /// The op that takes the member into the group, or out of it.
    pub(crate) fn membership(self, is_member: bool) -> SetMembership {
        SetMembership {
            group: self.group,
            member: self.member,
            is_member,
        }
    }
}

impl From<SlugRequest> for Invite {
    fn from(request: SlugRequest) -> Self {
        Self { slug: request.slug }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct InvitationReply {
    /// What proves the invitation: give it to whom is invited, and to nobody else.
    #[serde(serialize_with = "reply::secret_text")]
    #[schemars(with = "String")]
    code: SecretText,
    /// When it ends.
    expires: u64,
}

impl From<Invitation> for InvitationReply {
    fn from(invitation: Invitation) -> Self {
        Self {
            code: invitation.code,
            expires: invitation.expires.as_millis(),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct AcceptRequest {
    slug: String,
    /// What people call the account.
    #[serde(default)]
    name: String,
    /// The invitation's code.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "String")]
    code: Option<SecretText>,
    /// The password to log in with from then on.
    #[serde(default, deserialize_with = "json::secret_text")]
    #[schemars(with = "String")]
    password: Option<SecretText>,
}

impl TryFrom<AcceptRequest> for AcceptInvitation {
    type Error = Error;

    fn try_from(request: AcceptRequest) -> Result<Self, Error> {
        Ok(Self {
            slug: request.slug,
            name: request.name,
            code: request.code.ok_or_else(|| Error::invalid("code", "is missing"))?,
            password: request
                .password
                .ok_or_else(|| Error::invalid("password", "is missing"))?,
        })
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct PrincipalsRequest {
    /// Only those of this kind.
    kind: Option<KindName>,
    /// Go on behind this slug.
    after: Option<String>,
    /// At most so many; 1,000 at most.
    limit: Option<usize>,
}

impl From<PrincipalsRequest> for ListPrincipals {
    fn from(request: PrincipalsRequest) -> Self {
        Self {
            kind: request.kind.map(PrincipalKind::from),
            after: request.after,
            limit: request.limit,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct SlugRequest {
    slug: String,
}

impl SlugRequest {
    /// The op that lets the principal log in, or keeps it from that.
    pub(crate) fn standing(self, is_active: bool) -> SetStanding {
        SetStanding {
            slug: self.slug,
            is_active,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct PrincipalsReply {
    /// By slug.
    principals: Vec<PrincipalReply>,
    /// Go on with this as `after`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<PrincipalPage> for PrincipalsReply {
    fn from(page: PrincipalPage) -> Self {
        Self {
            principals: page.principals.into_iter().map(PrincipalReply::from).collect(),
            next: page.next,
        }
    }
}

/// A principal as an admin sees it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AccountReply")]
pub(crate) struct PrincipalReply {
    /// Its id, a UUID.
    id: String,
    slug: String,
    /// What people call it.
    name: String,
    kind: KindName,
    is_admin: bool,
    /// `active`, `disabled`, or `reserved`: lists name it, and nobody is it yet.
    standing: &'static str,
    /// When it was made.
    created: u64,
    /// The slugs of the groups that it is in.
    groups: Vec<String>,
}

impl From<PrincipalFacts> for PrincipalReply {
    fn from(facts: PrincipalFacts) -> Self {
        Self {
            id: facts.id.to_string(),
            slug: facts.slug.to_string(),
            name: facts.name,
            kind: facts.kind.into(),
            is_admin: facts.is_admin,
            standing: match facts.standing {
                Standing::Active => "active",
                Standing::Reserved => "reserved",
                Standing::Disabled => "disabled",
            },
            created: facts.created.as_millis(),
            groups: facts.groups,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct TokensRequest {
    /// Whose, for admins; the caller's own when absent.
    slug: Option<String>,
    /// Go on behind this id.
    after: Option<String>,
    /// At most so many; 1,000 at most.
    limit: Option<usize>,
}

impl TryFrom<TokensRequest> for ListTokens {
    type Error = Error;

    fn try_from(request: TokensRequest) -> Result<Self, Error> {
        Ok(Self {
            of: request.slug,
            after: request
                .after
                .as_deref()
                .map(|id| token_id("after", id))
                .transpose()?,
            limit: request.limit,
        })
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct RevokeRequest {
    /// Whose it is, for admins; the caller's own when absent.
    slug: Option<String>,
    /// The token's id, as `tokens/list` tells it. It is not the token.
    id: String,
}

impl TryFrom<RevokeRequest> for RevokeToken {
    type Error = Error;

    fn try_from(request: RevokeRequest) -> Result<Self, Error> {
        Ok(Self {
            of: request.slug,
            id: token_id("id", &request.id)?,
        })
    }
}

fn token_id(field: &str, text: &str) -> Result<LeaseId, Error> {
    text.parse()
        .map_err(|_| Error::invalid(field, "is not a token's id, which `tokens/list` tells"))
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct TokensReply {
    /// Oldest first.
    tokens: Vec<TokenFactsReply>,
    /// Go on with this as `after`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A token, named without it.
#[derive(Serialize, JsonSchema)]
struct TokenFactsReply {
    /// By this it can be revoked.
    id: String,
    /// The app that it acts on: `apps/<host>`.
    app: String,
    /// What the client called itself.
    device: String,
    /// When its session began.
    created: u64,
    /// When that ends unless it is used.
    idle_until: u64,
    /// When it ends in any case.
    deadline: u64,
    /// Whether it is the one that asks.
    is_current: bool,
}

impl From<TokenPage> for TokensReply {
    fn from(page: TokenPage) -> Self {
        let token = |token: TokenFacts| TokenFactsReply {
            id: token.id.to_string(),
            app: token.app,
            device: token.device,
            created: token.created.as_millis(),
            idle_until: token.idle_until.as_millis(),
            deadline: token.deadline.as_millis(),
            is_current: token.is_current,
        };
        Self {
            tokens: page.tokens.into_iter().map(token).collect(),
            next: page.next.map(|id| id.to_string()),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct RevokeReply {}

impl From<Revoked> for RevokeReply {
    fn from(_: Revoked) -> Self {
        Self {}
    }
}
