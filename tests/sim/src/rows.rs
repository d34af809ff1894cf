//! Writes rows as the JSON of Okta's answers. By hand, since a bench must not measure the simulator.

use crate::clock::iso;
use crate::ids::Id;
use crate::org::{App, AppGroup, AppUser, Group, GroupType, Org, Scope, User, UserStatus};

/// Appends a JSON string.
fn string(out: &mut String, text: &str) {
    if text
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
    {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

fn nullable(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => out.push_str("null"),
    }
}

/// Appends what stands before a value (its key, and the punctuation around it), and the value as a string.
fn field(out: &mut String, key: &str, text: &str) {
    out.push_str(key);
    string(out, text);
}

/// Appends a link object of `_links`: its name, and where it leads.
fn link(out: &mut String, name: &str, base: &str, path: &[&str], method: Option<&str>) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":{\"href\":\"");
    out.push_str(base);
    for part in path {
        out.push_str(part);
    }
    out.push('"');
    if let Some(method) = method {
        out.push_str(",\"method\":\"");
        out.push_str(method);
        out.push('"');
    }
    out.push('}');
}

/// How much of a user is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// A row of a listing: `_links` has `self` alone.
    Row,
    /// A user asked for alone, or embedded: with the links of what can be done.
    Whole,
}

/// Appends a user.
pub(crate) fn user(out: &mut String, base: &str, user: &User, detail: Detail) {
    let id = user.id.as_str();
    let created = iso(user.created);
    let activated = user.status != UserStatus::Staged;
    field(out, "{\"id\":", id);
    field(out, ",\"status\":", user.status.as_str());
    field(out, ",\"created\":", &created);
    out.push_str(",\"activated\":");
    nullable(out, activated.then_some(&*created));
    out.push_str(",\"statusChanged\":");
    nullable(out, activated.then_some(&*created));
    out.push_str(",\"lastLogin\":null");
    field(out, ",\"lastUpdated\":", &iso(user.updated));
    out.push_str(
        ",\"passwordChanged\":null,\"type\":{\"id\":\"otyuwlw0oDefaultT5d7\"},\"profile\":{\"firstName\":",
    );
    nullable(out, user.first_name.as_deref());
    out.push_str(",\"lastName\":");
    nullable(out, user.last_name.as_deref());
    out.push_str(",\"mobilePhone\":null,\"secondEmail\":null");
    if let Some(display_name) = &user.display_name {
        field(out, ",\"displayName\":", display_name);
    }
    field(out, ",\"login\":", &user.login);
    out.push_str(",\"email\":");
    nullable(out, user.email.as_deref());
    for n in 0..user.extra_fields {
        let n = n.to_string();
        field(out, &format!(",\"extra_{n}\":"), &n);
    }
    out.push_str("},\"credentials\":{\"provider\":{\"type\":\"OKTA\",\"name\":\"OKTA\"}},\"_links\":{");
    let users = "/api/v1/users/";
    if detail == Detail::Whole {
        let post = Some("POST");
        if user.status != UserStatus::Deprovisioned {
            link(out, "suspend", base, &[users, id, "/lifecycle/suspend"], post);
            link(
                out,
                "resetPassword",
                base,
                &[users, id, "/lifecycle/reset_password"],
                post,
            );
            link(
                out,
                "expirePassword",
                base,
                &[users, id, "/lifecycle/expire_password"],
                post,
            );
            link(
                out,
                "changePassword",
                base,
                &[users, id, "/credentials/change_password"],
                post,
            );
            link(
                out,
                "deactivate",
                base,
                &[users, id, "/lifecycle/deactivate"],
                post,
            );
        }
        link(
            out,
            "schema",
            base,
            &["/api/v1/meta/schemas/user/oscuwlw0oDefaultT5d7"],
            None,
        );
        link(
            out,
            "type",
            base,
            &["/api/v1/meta/types/user/otyuwlw0oDefaultT5d7"],
            None,
        );
    }
    link(out, "self", base, &[users, id], None);
    out.push_str("}}");
}

/// Appends a group.
pub(crate) fn group(out: &mut String, base: &str, group: &Group) {
    let id = group.id.as_str();
    field(out, "{\"id\":", id);
    field(out, ",\"created\":", &iso(group.created));
    field(out, ",\"lastUpdated\":", &iso(group.updated));
    field(out, ",\"lastMembershipUpdated\":", &iso(group.membership_updated));
    let (kind, class) = match group.kind {
        GroupType::OktaGroup => ("OKTA_GROUP", "okta:user_group"),
        GroupType::AppGroup => ("APP_GROUP", "okta:windows_security_principal"),
        GroupType::BuiltIn => ("BUILT_IN", "okta:user_group"),
    };
    field(out, ",\"objectClass\":[", class);
    field(out, "],\"type\":", kind);
    field(out, ",\"profile\":{\"name\":", &group.name);
    out.push_str(",\"description\":");
    nullable(out, group.description.as_deref());
    out.push_str("},\"_links\":{");
    out.push_str("\"logo\":[{\"name\":\"medium\",\"href\":\"https://static.acme.example/group.png\",\"type\":\"image/png\"}]");
    link(out, "users", base, &["/api/v1/groups/", id, "/users"], None);
    link(out, "apps", base, &["/api/v1/groups/", id, "/apps"], None);
    out.push_str("}}");
}

/// Appends a user of an app.
pub(crate) fn app_user(out: &mut String, base: &str, org: &Org, app: &App, row: AppUser, is_expanded: bool) {
    let of = org.user(row.user);
    let (id, app_id) = (of.id.as_str(), app.id.as_str());
    let created = iso(of.created);
    field(out, "{\"id\":", id);
    field(out, ",\"externalId\":null,\"created\":", &created);
    field(out, ",\"lastUpdated\":", &created);
    field(
        out,
        ",\"scope\":",
        if row.scope == Scope::User { "USER" } else { "GROUP" },
    );
    field(out, ",\"status\":\"ACTIVE\",\"statusChanged\":", &created);
    out.push_str(",\"passwordChanged\":null,\"syncState\":\"DISABLED\",\"credentials\":{\"userName\":");
    string(out, &of.login);
    out.push_str("},\"profile\":{");
    if app.application_type.is_some() {
        out.push_str(
            "\"street_address\":null,\"country\":null,\"website\":null,\"zoneinfo\":\"America/Los_Angeles\",",
        );
        out.push_str("\"birthdate\":null,\"gender\":null,\"formatted\":null,\"profile\":null,\"locality\":null,\"given_name\":");
        nullable(out, of.first_name.as_deref());
        out.push_str(",\"middle_name\":null,\"locale\":\"en_US\",\"picture\":null,\"nickname\":null,\"phone_number\":null,");
        out.push_str("\"region\":null,\"postal_code\":null,\"family_name\":");
        nullable(out, of.last_name.as_deref());
        out.push_str(",\"email\":");
        nullable(out, of.email.as_deref());
    }
    out.push_str("},\"_links\":{");
    link(out, "app", base, &["/api/v1/apps/", app_id], None);
    link(out, "user", base, &["/api/v1/users/", id], None);
    out.push('}');
    if is_expanded {
        out.push_str(",\"_embedded\":{\"user\":");
        user(out, base, of, Detail::Whole);
        out.push('}');
    }
    out.push('}');
}

/// Appends a group of an app.
pub(crate) fn app_group(
    out: &mut String,
    base: &str,
    org: &Org,
    app: &App,
    row: AppGroup,
    is_expanded: bool,
) {
    let of = org.group(row.group);
    let (id, app_id) = (of.id.as_str(), app.id.as_str());
    field(out, "{\"id\":", id);
    field(out, ",\"lastUpdated\":", &iso(row.updated));
    out.push_str(",\"priority\":");
    out.push_str(&row.priority.to_string());
    out.push_str(",\"profile\":{},\"_links\":{");
    link(out, "app", base, &["/api/v1/apps/", app_id], None);
    link(
        out,
        "self",
        base,
        &["/api/v1/apps/", app_id, "/groups/", id],
        None,
    );
    link(out, "group", base, &["/api/v1/groups/", id], None);
    out.push('}');
    if is_expanded {
        out.push_str(",\"_embedded\":{\"group\":");
        group(out, base, of);
        out.push('}');
    }
    out.push('}');
}

/// Appends an app.
pub(crate) fn app(out: &mut String, base: &str, org_id: &str, app: &App) {
    let id = app.id.as_str();
    let orn = format!("orn:okta:idp:{org_id}:apps:{}:{id}", app.name);
    field(out, "{\"id\":", id);
    field(out, ",\"orn\":", &orn);
    field(out, ",\"name\":", &app.name);
    field(out, ",\"label\":", &app.label);
    field(
        out,
        ",\"status\":",
        if app.is_active { "ACTIVE" } else { "INACTIVE" },
    );
    field(out, ",\"lastUpdated\":", &iso(app.updated));
    field(out, ",\"created\":", &iso(app.created));
    out.push_str(
        ",\"accessibility\":{\"selfService\":false,\"errorRedirectUrl\":null,\"loginRedirectUrl\":null},",
    );
    out.push_str("\"visibility\":{\"autoSubmitToolbar\":false,\"hide\":{\"iOS\":false,\"web\":false},\"appLinks\":{}},");
    out.push_str("\"features\":[]");
    field(out, ",\"signOnMode\":", &app.sign_on_mode);
    out.push_str(
        ",\"credentials\":{\"userNameTemplate\":{\"template\":\"${source.login}\",\"type\":\"BUILT_IN\"},\"signing\":{}",
    );
    if app.application_type.is_some() {
        field(
            out,
            ",\"oauthClient\":{\"autoKeyRotation\":true,\"client_id\":",
            id,
        );
        out.push_str(",\"token_endpoint_auth_method\":\"private_key_jwt\",\"pkce_required\":false}");
    }
    out.push_str("},\"settings\":{\"app\":{");
    if app.sign_on_mode == "BOOKMARK" {
        out.push_str("\"requestIntegration\":false,\"url\":\"https://wiki.acme.example/\"");
    }
    out.push_str("},\"notifications\":{\"vpn\":{\"network\":{\"connection\":\"DISABLED\"},");
    out.push_str(
        "\"message\":null,\"helpUrl\":null}},\"manualProvisioning\":false,\"implicitAssignment\":false,",
    );
    out.push_str("\"notes\":{\"admin\":null,\"enduser\":null}");
    if let Some(kind) = &app.application_type {
        out.push_str(",\"oauthClient\":{\"client_uri\":null,\"logo_uri\":null,\"redirect_uris\":[],\"response_types\":[");
        out.push_str(if kind == "service" {
            "\"token\""
        } else {
            "\"code\""
        });
        out.push_str("],\"grant_types\":[");
        out.push_str(if kind == "service" {
            "\"client_credentials\""
        } else {
            "\"authorization_code\""
        });
        field(out, "],\"application_type\":", kind);
        out.push_str(
            ",\"consent_method\":\"TRUSTED\",\"issuer_mode\":\"ORG_URL\",\"dpop_bound_access_tokens\":false}",
        );
    }
    out.push_str("},\"_links\":{");
    for (name, path) in [
        ("groups", "/groups"),
        ("users", "/users"),
        ("deactivate", "/lifecycle/deactivate"),
    ] {
        link(out, name, base, &["/api/v1/apps/", id, path], None);
    }
    out.push_str("}}");
}

/// What a cursor of users looks like: `2` and the rest of the last id.
pub(crate) fn user_cursor(id: Id) -> String {
    format!("2{id}")
}
