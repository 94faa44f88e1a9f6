//! What can be asked about who there is and who is logged in: plain data.

use strongroom_base::{LeaseId, PrincipalId, Slug, Timestamp};
use strongroom_identity::{PrincipalKind, Standing};
use strongroom_sdk::{Target, ops};
use strongroom_secret::SecretText;

use crate::accounts::Accounts;

/// Make an account, for admins; a slug that lists have reserved becomes somebody's by this. Answers [`PrincipalFacts`].
pub struct AddPrincipal {
    /// What it is.
    pub kind: PrincipalKind,
    /// Its slug.
    pub slug: String,
    /// What people call it; may be empty.
    pub name: String,
    /// The password that it logs in with; a group has none.
    pub password: Option<SecretText>,
    /// Whether it gets the admin role.
    pub is_admin: bool,
}

/// Show who there is, for admins. Answers [`PrincipalPage`].
pub struct ListPrincipals {
    /// Only those of this kind.
    pub kind: Option<PrincipalKind>,
    /// Go on behind this slug.
    pub after: Option<String>,
    /// At most so many; [`strongroom_base::limits::PAGE`] at most.
    pub limit: Option<usize>,
}

/// One page of principals.
pub struct PrincipalPage {
    /// By slug.
    pub principals: Vec<PrincipalFacts>,
    /// The slug to go on behind, if there may be more.
    pub next: Option<String>,
}

/// A principal as an admin sees it.
pub struct PrincipalFacts {
    /// Its id.
    pub id: PrincipalId,
    /// Its slug.
    pub slug: Slug,
    /// What people call it.
    pub name: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// Whether it has the admin role.
    pub is_admin: bool,
    /// Whether anyone may be it.
    pub standing: Standing,
    /// When it was made.
    pub created: Timestamp,
    /// The slugs of the groups that it is in.
    pub groups: Vec<String>,
}

/// Take a user or service into a group, or out of it; for admins. Answers [`PrincipalFacts`], those of the member.
pub struct SetMembership {
    /// The group's slug.
    pub group: String,
    /// The slug of the user or service.
    pub member: String,
    /// Whether it is to be in the group.
    pub is_member: bool,
}

/// Invite somebody, for admins: who has the code makes the account by it, once. Answers [`Invitation`].
pub struct Invite {
    /// The slug that the account is to have; nobody may have it, but lists may name it already.
    pub slug: String,
}

/// An invitation. An earlier one of the same slug is void.
pub struct Invitation {
    /// What proves it. It is nowhere else.
    pub code: SecretText,
    /// When it ends.
    pub expires: Timestamp,
}

/// Make the account that one was invited to. Answers [`PrincipalFacts`].
pub struct AcceptInvitation {
    /// The slug.
    pub slug: String,
    /// The code of the invitation.
    pub code: SecretText,
    /// What people call the account; may be empty.
    pub name: String,
    /// The password that it logs in with from then on.
    pub password: SecretText,
}

/// Keep a principal from logging in and end its sessions, or let it log in again; for admins. Answers
/// [`PrincipalFacts`].
pub struct SetStanding {
    /// Its slug.
    pub slug: String,
    /// Whether it may log in.
    pub is_active: bool,
}

/// Show sessions, which are what tokens stand for. Answers [`TokenPage`].
pub struct ListTokens {
    /// Whose, by slug: the caller's own when `None`. Those of others are for admins.
    pub of: Option<String>,
    /// Go on behind this session.
    pub after: Option<LeaseId>,
    /// At most so many; [`strongroom_base::limits::PAGE`] at most.
    pub limit: Option<usize>,
}

/// One page of sessions.
pub struct TokenPage {
    /// Oldest first.
    pub tokens: Vec<TokenFacts>,
    /// The session to go on behind, if there may be more.
    pub next: Option<LeaseId>,
}

/// A session, named without its token.
pub struct TokenFacts {
    /// Its lease, by which it can be revoked.
    pub id: LeaseId,
    /// The app that it acts on: `apps/<host>`.
    pub app: String,
    /// What the client called itself.
    pub device: String,
    /// When it began.
    pub created: Timestamp,
    /// When it ends unless it is used.
    pub idle_until: Timestamp,
    /// When it ends in any case.
    pub deadline: Timestamp,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// End a session: its token is refused from then on. Answers [`Revoked`].
pub struct RevokeToken {
    /// Whose it is, by slug: the caller's own when `None`. Those of others are for admins.
    pub of: Option<String>,
    /// Its lease.
    pub id: LeaseId,
}

/// It has ended.
pub struct Revoked;

ops! { Accounts:
    AddPrincipal -> PrincipalFacts, "principal.add", Manage, |_| Target::Instance, add_principal;
    ListPrincipals -> PrincipalPage, "principal.list", Manage, |_| Target::Instance, list_principals;
    SetStanding -> PrincipalFacts, "principal.set_standing", Manage, |_| Target::Instance, set_standing;
    SetMembership -> PrincipalFacts, "group.set_member", Manage, |_| Target::Instance, set_membership;
    Invite -> Invitation, "invitation.create", Manage, |_| Target::Instance, invite;
    AcceptInvitation -> PrincipalFacts, "invitation.accept", Connect, |_| Target::Public, accept_invitation;
    ListTokens -> TokenPage, "token.list", UseAccount, |op| target(&op.of), list_tokens;
    RevokeToken -> Revoked, "token.revoke", UseAccount, |op| target(&op.of), revoke_token;
}

fn target(of: &Option<String>) -> Target {
    if of.is_some() {
        Target::Instance
    } else {
        Target::Account
    }
}
