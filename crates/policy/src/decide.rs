//! The decision.

use std::fmt;

use minicbor::{Decode, Encode};
use strongroom_base::{Name, PrincipalId, Slug};

use crate::{Lists, PrincipalSet, Subject};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Prove who one is, or learn what anyone may know.
    Connect,
    /// Look at or change one's own account and sessions.
    UseAccount,
    /// See which secrets there are, row by row.
    List,
    /// See a secret's value.
    Read,
    /// Make a secret, or replace its value.
    Write,
    /// Remove a secret.
    Delete,
    /// Change who may read a secret.
    ChangeReaders,
    /// Change who may write a secret.
    ChangeWriters,
    /// Change who may delete a secret.
    ChangeDeleters,
    /// See who may do what to a secret, and what the ledger has sealed about it.
    Review,
    /// Make, change and end the accounts and sessions of others.
    Manage,
    /// Run the instance: its seal, its keys.
    Operate,
}

/// What it is asked of.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// What is open to callers that have not proved themselves.
    Public,
    /// The making of new accounts by anyone.
    Registration {
        /// Whether the operator opened it.
        open: bool,
    },
    /// The caller's own account.
    Account,
    /// The mount that the caller's session is bound to. Its rows are decided one by one.
    OwnMount,
    /// Any other mount.
    OtherMount,
    /// A name in a mount that no secret has.
    FreeName(&'a Name),
    /// A secret that is there.
    Secret {
        /// Its lists.
        lists: &'a Lists,
        /// Who answers for it.
        owner: PrincipalId,
        /// Why it is not served any more, where the operator wants overdue secrets refused.
        lapse: Option<Lapse>,
    },
    /// Everything of the instance: what lies in all mounts, and the sealed records of all requests.
    Everything,
}

/// Why a secret is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Lapse {
    /// It has expired.
    #[n(0)]
    Expired,
    /// It should have got a new value.
    #[n(1)]
    RotationDue,
}

/// Which overdue secrets are not served any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// None: being overdue is only told.
    #[default]
    Serve,
    /// Those that have expired.
    RefuseExpired,
    /// Those whose rotation is overdue, too.
    RefuseOverdue,
}

impl Strictness {
    /// `lapse`, if secrets with it are refused.
    #[must_use]
    pub fn refuses(self, lapse: Option<Lapse>) -> Option<Lapse> {
        lapse.filter(|lapse| match self {
            Self::Serve => false,
            Self::RefuseExpired => *lapse == Lapse::Expired,
            Self::RefuseOverdue => true,
        })
    }
}

/// Proof that [`decide`] said yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    reason: Reason,
}

/// [`decide`] said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    reason: Reason,
}

impl Allowed {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl Denied {
    /// Why, for the ledger and for *explain*. A refused caller is told less.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

/// Why a decision is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Anyone may.
    Public,
    /// The operator opened registration.
    RegistrationOpen,
    /// The operator did not open registration.
    RegistrationClosed,
    /// The caller has not proved who it is.
    NotLoggedIn,
    /// Every principal may do this to what is its own.
    Own,
    /// The caller has the admin role.
    AdminRole,
    /// Only the admin role reaches other mounts.
    OtherMount,
    /// The name lies under the caller's slug.
    OwnPrefix,
    /// The name lies elsewhere, and the caller is no admin.
    ForeignPrefix,
    /// The caller is in the list that the capability asks for.
    Listed(Capability),
    /// The caller is not in it.
    NotListed(Capability),
    /// The caller made the secret.
    Owner,
    /// Somebody else made it.
    NotOwner,
    /// Only the admin role reaches everything.
    NotAdmin,
    /// The caller may read it, but the secret is overdue, and the operator wants such ones refused.
    Lapsed(Lapse),
}

/// Every reason with a capability has one of these.
const LISTED: [Capability; 6] = [
    Capability::Read,
    Capability::Write,
    Capability::Delete,
    Capability::ChangeReaders,
    Capability::ChangeWriters,
    Capability::ChangeDeleters,
];

impl Reason {
    /// The reason that the ledger spells `text`; *explain* reads it back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let plain = [
            Self::Public,
            Self::RegistrationOpen,
            Self::RegistrationClosed,
            Self::NotLoggedIn,
            Self::Own,
            Self::AdminRole,
            Self::OtherMount,
            Self::OwnPrefix,
            Self::ForeignPrefix,
            Self::Owner,
            Self::NotOwner,
            Self::NotAdmin,
            Self::Lapsed(Lapse::Expired),
            Self::Lapsed(Lapse::RotationDue),
        ];
        let listed = LISTED
            .map(Self::Listed)
            .into_iter()
            .chain(LISTED.map(Self::NotListed));
        plain
            .into_iter()
            .chain(listed)
            .find(|reason| reason.as_str() == text)
    }

    /// The smallest change that would have allowed what was denied to `caller`; `None` for a reason to allow.
    #[must_use]
    pub fn remedy(self, caller: Option<&Slug>) -> Option<String> {
        let caller = caller.map_or("the caller", Slug::as_str);
        Some(match self {
            Self::NotLoggedIn => "log in, and send the token".to_owned(),
            Self::RegistrationClosed => {
                "an admin makes the account, or the server is started with `--open-registration`".to_owned()
            }
            Self::OtherMount => format!("`{caller}` logs in to that app, or gets the admin role"),
            Self::ForeignPrefix => {
                format!(
                    "a name under `{caller}/`, or an admin makes the secret and names `{caller}` in its lists"
                )
            }
            Self::NotListed(capability) => format!("add `{caller}` to `{}`", list_name(capability)),
            Self::Lapsed(Lapse::Expired) => {
                "give the secret a later date, or a new value and date".to_owned()
            }
            Self::Lapsed(Lapse::RotationDue) => "give the secret a new value".to_owned(),
            Self::NotOwner | Self::NotAdmin => format!("`{caller}` gets the admin role"),
            Self::Public
            | Self::RegistrationOpen
            | Self::Own
            | Self::AdminRole
            | Self::OwnPrefix
            | Self::Listed(_)
            | Self::Owner => return None,
        })
    }
}

/// The list of a secret that grants `capability`, as it is spelled on the wire.
fn list_name(capability: Capability) -> &'static str {
    match capability {
        Capability::Read | Capability::List => "readers",
        Capability::Write => "writers",
        Capability::Delete => "deleters",
        Capability::ChangeReaders => "canChangeReaders",
        Capability::ChangeWriters => "canChangeWriters",
        Capability::ChangeDeleters => "canChangeDeleters",
        Capability::Connect
        | Capability::UseAccount
        | Capability::Review
        | Capability::Manage
        | Capability::Operate => "no list",
    }
}

impl Reason {
    /// The reason in the words of the ledger; they are part of the leaf format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "open to anyone",
            Self::RegistrationOpen => "registration is open",
            Self::RegistrationClosed => "registration is closed",
            Self::NotLoggedIn => "not logged in",
            Self::Own => "the caller's own",
            Self::AdminRole => "admin role",
            Self::OtherMount => "another mount, and no admin role",
            Self::OwnPrefix => "under the caller's slug",
            Self::ForeignPrefix => "not under the caller's slug",
            Self::Listed(capability) => match capability {
                Capability::Read | Capability::List => "in readers",
                Capability::Write => "in writers",
                Capability::Delete => "in deleters",
                Capability::ChangeReaders => "in canChangeReaders",
                Capability::ChangeWriters => "in canChangeWriters",
                Capability::ChangeDeleters => "in canChangeDeleters",
                Capability::Connect
                | Capability::UseAccount
                | Capability::Review
                | Capability::Manage
                | Capability::Operate => "in no list",
            },
            Self::NotListed(capability) => match capability {
                Capability::Read | Capability::List => "not in readers",
                Capability::Write => "not in writers",
                Capability::Delete => "not in deleters",
                Capability::ChangeReaders => "not in canChangeReaders",
                Capability::ChangeWriters => "not in canChangeWriters",
                Capability::ChangeDeleters => "not in canChangeDeleters",
                Capability::Connect
                | Capability::UseAccount
                | Capability::Review
                | Capability::Manage
                | Capability::Operate => "not in no list",
            },
            Self::Owner => "its owner",
            Self::NotOwner => "not its owner",
            Self::NotAdmin => "no admin role",
            Self::Lapsed(Lapse::Expired) => "it has expired",
            Self::Lapsed(Lapse::RotationDue) => "its rotation is overdue",
        }
    }
}

impl fmt::Display for Reason {
    /// As [`as_str`](Self::as_str).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Decides whether `subject` (`None`: a caller that has not proved itself) has `capability` on `resource`.
///
/// # Errors
/// [`Denied`] with the reason, which is never "unknown": what no rule allows is denied.
pub fn decide(
    subject: Option<&Subject>,
    capability: Capability,
    resource: Resource<'_>,
) -> Result<Allowed, Denied> {
    let allowed = |reason| Ok(Allowed { reason });
    let denied = |reason| Err(Denied { reason });

    match resource {
        Resource::Public => return allowed(Reason::Public),
        Resource::Registration { open: true } => return allowed(Reason::RegistrationOpen),
        Resource::Registration { open: false } => return denied(Reason::RegistrationClosed),
        _ => {}
    }
    let Some(subject) = subject else {
        return denied(Reason::NotLoggedIn);
    };
    let decision = match resource {
        Resource::Public | Resource::Registration { .. } | Resource::Account | Resource::OwnMount => {
            allowed(Reason::Own)
        }
        _ if subject.is_admin() => allowed(Reason::AdminRole),
        Resource::OtherMount => denied(Reason::OtherMount),
        Resource::FreeName(name) if name.is_under(&subject.slug) => allowed(Reason::OwnPrefix),
        Resource::FreeName(_) => denied(Reason::ForeignPrefix),
        Resource::Everything => denied(Reason::NotAdmin),
        Resource::Secret { owner, .. } if capability == Capability::Review => {
            if subject.is(owner) {
                allowed(Reason::Owner)
            } else {
                denied(Reason::NotOwner)
            }
        }
        Resource::Secret { lists, .. } => match list_for(capability, lists) {
            Some(list) if list.iter().any(|listed| subject.is(listed)) => allowed(Reason::Listed(capability)),
            _ => denied(Reason::NotListed(capability)),
        },
    };
    match (decision, resource) {
        // Nobody is above this: a value that must not be used any more does not serve admins either.
        (
            Ok(_),
            Resource::Secret {
                lapse: Some(lapse), ..
            },
        ) if capability == Capability::Read => denied(Reason::Lapsed(lapse)),
        (decision, _) => decision,
    }
}

/// The list that grants `capability` on a secret.
fn list_for(capability: Capability, lists: &Lists) -> Option<&PrincipalSet> {
    match capability {
        Capability::List | Capability::Read => Some(&lists.readers),
        Capability::Write => Some(&lists.writers),
        Capability::Delete => Some(&lists.deleters),
        Capability::ChangeReaders => Some(&lists.can_change_readers),
        Capability::ChangeWriters => Some(&lists.can_change_writers),
        Capability::ChangeDeleters => Some(&lists.can_change_deleters),
        Capability::Connect
        | Capability::UseAccount
        | Capability::Review
        | Capability::Manage
        | Capability::Operate => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use Capability::*;
    use strongroom_base::PrincipalId;

    fn subject(number: u8, slug: &str, roles: &[Role]) -> Subject {
        Subject {
            id: PrincipalId::from_bytes([number; 16]),
            slug: Slug::new(slug).unwrap(),
            roles: roles.into(),
            groups: PrincipalSet::default(),
        }
    }

    #[test]
    fn what_is_a_groups_is_its_members() {
        let group = PrincipalId::from_bytes([5; 16]);
        let lists = Lists {
            readers: PrincipalSet::from_iter([group]),
            ..Lists::default()
        };
        let member = Subject {
            groups: PrincipalSet::from_iter([group]),
            ..subject(1, "alice", &[])
        };
        check(Some(&member), Read, secret(&lists), "in readers", true);
        check(Some(&member), Write, secret(&lists), "not in writers", false);
        check(
            Some(&subject(1, "alice", &[])),
            Read,
            secret(&lists),
            "not in readers",
            false,
        );
        let owned = Resource::Secret {
            lists: &lists,
            owner: group,
            lapse: None,
        };
        check(Some(&member), Review, owned, "its owner", true);
        // Names under a group's slug are not its members' to take.
        let name = Name::from_path("ops/key").unwrap();
        check(
            Some(&member),
            Write,
            Resource::FreeName(&name),
            "not under the caller's slug",
            false,
        );
    }

    /// A secret that principal 9 made.
    fn secret(lists: &Lists) -> Resource<'_> {
        Resource::Secret {
            lists,
            owner: PrincipalId::from_bytes([9; 16]),
            lapse: None,
        }
    }

    #[test]
    fn what_has_lapsed_is_read_by_nobody_and_otherwise_as_ever() {
        let lists = Lists::only(PrincipalId::from_bytes([1; 16]));
        let lapsed = Resource::Secret {
            lists: &lists,
            owner: PrincipalId::from_bytes([9; 16]),
            lapse: Some(Lapse::Expired),
        };
        let (admin, reader) = (subject(7, "admin", &[Role::Admin]), subject(1, "alice", &[]));
        let other = subject(2, "bob", &[]);
        check(Some(&admin), Read, lapsed, "it has expired", false);
        check(Some(&reader), Read, lapsed, "it has expired", false);
        check(Some(&other), Read, lapsed, "not in readers", false);
        check(Some(&reader), List, lapsed, "in readers", true);
        check(Some(&reader), Write, lapsed, "in writers", true);
        check(Some(&admin), Delete, lapsed, "admin role", true);
        for (strictness, lapse, refused) in [
            (Strictness::Serve, Lapse::Expired, false),
            (Strictness::RefuseExpired, Lapse::Expired, true),
            (Strictness::RefuseExpired, Lapse::RotationDue, false),
            (Strictness::RefuseOverdue, Lapse::RotationDue, true),
        ] {
            assert_eq!(strictness.refuses(Some(lapse)).is_some(), refused);
            assert_eq!(strictness.refuses(None), None);
        }
    }

    #[track_caller]
    fn check(
        subject: Option<&Subject>,
        capability: Capability,
        resource: Resource<'_>,
        why: &str,
        yes: bool,
    ) {
        let (reason, said_yes) = match decide(subject, capability, resource) {
            Ok(allowed) => (allowed.reason(), true),
            Err(denied) => (denied.reason(), false),
        };
        assert_eq!((reason.to_string().as_str(), said_yes), (why, yes));
    }

    #[test]
    fn only_admins_run_the_instance() {
        let (admin, alice) = (subject(1, "root", &[Role::Admin]), subject(2, "alice", &[]));
        check(Some(&admin), Operate, Resource::Everything, "admin role", true);
        check(
            Some(&alice),
            Operate,
            Resource::Everything,
            "no admin role",
            false,
        );
        check(None, Operate, Resource::Everything, "not logged in", false);
        // No list of a secret grants it.
        check(
            Some(&alice),
            Operate,
            secret(&Lists::default()),
            "not in no list",
            false,
        );
    }

    #[test]
    fn anonymous_callers_reach_only_what_is_public() {
        check(None, Connect, Resource::Public, "open to anyone", true);
        check(
            None,
            Connect,
            Resource::Registration { open: true },
            "registration is open",
            true,
        );
        check(
            None,
            Connect,
            Resource::Registration { open: false },
            "registration is closed",
            false,
        );
        let name = Name::from_path("a/b").unwrap();
        for resource in [
            Resource::Account,
            Resource::OwnMount,
            Resource::OtherMount,
            Resource::FreeName(&name),
            secret(&Lists::default()),
        ] {
            check(None, Read, resource, "not logged in", false);
        }
    }

    #[test]
    fn each_capability_asks_its_own_list() {
        let alice = subject(1, "alice", &[]);
        let only = || PrincipalSet::from_iter([alice.id]);
        let one = |set: fn(&mut Lists) -> &mut PrincipalSet| {
            let mut lists = Lists::default();
            *set(&mut lists) = only();
            lists
        };
        let by_capability: [(Capability, Lists); 6] = [
            (Read, one(|l| &mut l.readers)),
            (Write, one(|l| &mut l.writers)),
            (Delete, one(|l| &mut l.deleters)),
            (ChangeReaders, one(|l| &mut l.can_change_readers)),
            (ChangeWriters, one(|l| &mut l.can_change_writers)),
            (ChangeDeleters, one(|l| &mut l.can_change_deleters)),
        ];
        for (listed, lists) in &by_capability {
            for (asked, _) in &by_capability {
                let answer = decide(Some(&alice), *asked, secret(lists));
                assert_eq!(answer.is_ok(), asked == listed, "{asked:?} with only {listed:?}");
            }
        }
    }

    #[test]
    fn admins_pass_lists_and_prefixes_and_users_do_not() {
        let (admin, auth) = (subject(1, "admin", &[Role::Admin]), subject(2, "auth", &[]));
        let (own, foreign) = (
            Name::from_path("auth/K").unwrap(),
            Name::from_path("auth-svc/K").unwrap(),
        );
        check(
            Some(&admin),
            Write,
            Resource::FreeName(&foreign),
            "admin role",
            true,
        );
        check(
            Some(&admin),
            Read,
            secret(&Lists::only(auth.id)),
            "admin role",
            true,
        );
        check(Some(&admin), List, Resource::OtherMount, "admin role", true);
        check(
            Some(&auth),
            Write,
            Resource::FreeName(&own),
            "under the caller's slug",
            true,
        );
        check(
            Some(&auth),
            Write,
            Resource::FreeName(&foreign),
            "not under the caller's slug",
            false,
        );
        check(
            Some(&auth),
            List,
            Resource::OtherMount,
            "another mount, and no admin role",
            false,
        );
        check(
            Some(&auth),
            Read,
            secret(&Lists::only(admin.id)),
            "not in readers",
            false,
        );
    }

    #[test]
    fn owners_and_admins_review_and_readers_do_not() {
        let (owner, reader) = (subject(9, "owner", &[]), subject(1, "reader", &[]));
        let admin = subject(2, "admin", &[Role::Admin]);
        let lists = Lists::only(reader.id);
        check(Some(&owner), Review, secret(&lists), "its owner", true);
        check(Some(&owner), Read, secret(&lists), "not in readers", false);
        check(Some(&reader), Review, secret(&lists), "not its owner", false);
        check(Some(&admin), Review, secret(&lists), "admin role", true);
        check(Some(&admin), Review, Resource::Everything, "admin role", true);
        check(Some(&owner), Review, Resource::Everything, "no admin role", false);
        check(None, Review, Resource::Everything, "not logged in", false);
        check(Some(&admin), Operate, Resource::Everything, "admin role", true);
        check(
            Some(&owner),
            Operate,
            Resource::Everything,
            "no admin role",
            false,
        );
        check(Some(&owner), Operate, secret(&lists), "not in no list", false);
    }

    #[test]
    fn every_reason_reads_back_and_every_refusal_has_a_remedy() {
        let lists = Lists::default();
        let (alice, admin) = (subject(1, "alice", &[]), subject(2, "admin", &[Role::Admin]));
        let name = Name::from_path("bob/key").unwrap();
        let own = Name::from_path("alice/key").unwrap();
        let full = Lists::only(alice.id);
        let resources = [
            Resource::Public,
            Resource::Registration { open: true },
            Resource::Registration { open: false },
            Resource::Account,
            Resource::OwnMount,
            Resource::OtherMount,
            Resource::FreeName(&name),
            Resource::FreeName(&own),
            secret(&lists),
            secret(&full),
            Resource::Everything,
        ];
        for resource in resources {
            for caller in [None, Some(&alice), Some(&admin)] {
                for capability in LISTED.into_iter().chain([Review]) {
                    let decision = decide(caller, capability, resource);
                    let reason = match &decision {
                        Ok(allowed) => allowed.reason(),
                        Err(denied) => denied.reason(),
                    };
                    assert_eq!(Reason::from_text(&reason.to_string()), Some(reason));
                    assert_eq!(reason.remedy(None).is_some(), decision.is_err(), "{reason}");
                }
            }
        }
        assert_eq!(Reason::from_text("in no list"), None);
        let remedy = Reason::NotListed(Read).remedy(Some(&alice.slug));
        assert_eq!(remedy.as_deref(), Some("add `alice` to `readers`"));
    }
}
