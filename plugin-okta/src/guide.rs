//! The setup guide: how an admin connects an Okta org, step by step, in Markdown.

use crate::settings::{CLIENT_ID, OKTA_DOMAIN};

/// One step of the guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is done in it.
    pub title: &'static str,
    /// How, in Markdown.
    pub text: &'static str,
    /// The settings that are known after it.
    pub fills: &'static [&'static str],
    /// Whether the public key is copied in this step.
    pub shows_public_key: bool,
}

/// The guide, in the order in which it is followed.
pub fn steps() -> Vec<Step> {
    vec![
        Step {
            title: "Before you begin",
            text: "\
Users and groups that are assigned to your **sign-in app** at Okta, the OIDC app through which people sign in, come to \
idsync by themselves: nobody creates or changes them by hand any more. You need that app first, and an Okta admin who \
may create roles and apps. Several Okta orgs can be connected, each as a directory of its own.",
            fills: &[],
            shows_public_key: false,
        },
        Step {
            title: "At Okta: choose what idsync may see",
            text: "\
Open **Security → Administrators → Resources** and press **Create new resource set**.

- Name: `idsync Resources`. Description: `Resources for idsync Directory Sync`.
- Under **Applications** pick the sign-in OIDC app, and no other.
- Under **Users** pick **All users**; under **Groups** pick **All groups**.

Save it.",
            fills: &[],
            shows_public_key: false,
        },
        Step {
            title: "At Okta: create a role that can only read",
            text: "\
Open **Security → Administrators → Roles** and press **Create new role**.

- Name: `idsync Sync Read Only`. Description: `Read-only access for idsync directory sync`.
- Give it exactly three permissions: **View users and their details**, **View groups and their details**, **View \
applications and their details**.

Save it.",
            fills: &[],
            shows_public_key: false,
        },
        Step {
            title: "In idsync: make the key pair",
            text: "\
In the portal go to **Settings → Directory Sync → Add Directory → Okta** and press **Generate Keypair**; on the \
command line `idsync directory add --provider okta --name NAME` does the same. Copy the public key that is shown, one \
JSON document, from its first brace to its last. Leave the page open: Okta asks for the key now, and this page asks for \
two values from Okta later.",
            fills: &[],
            shows_public_key: true,
        },
        Step {
            title: "At Okta: create the API service app",
            text: "\
1. **Applications → Applications → Create App Integration → API Services → Next**. Name it `idsync Directory Sync` and \
save.
2. **General → Client Credentials → Edit**: set **Client authentication** to **Public key / Private key**, press **Add \
key**, paste the public key, **Done**, then **Save**. *Require Demonstrating Proof of Possession (DPoP)* may be on or off.
3. **Okta API Scopes**: grant `okta.apps.read`, `okta.groups.read` and `okta.users.read`.
4. **Admin roles → Edit assignments**: choose the role `idsync Sync Read Only` with the resource set `idsync \
Resources`, then **Save changes**.
5. If the directory is large, you may raise the app's share of the org's limits on the **Application Rate Limits** tab.

The **Client ID** stands at the top of the **General** tab.",
            fills: &[CLIENT_ID],
            shows_public_key: false,
        },
        Step {
            title: "In idsync: verify and create",
            text: "\
- **Okta domain**: from the user menu at the upper right of the Okta dashboard, such as `your-company.okta.com`.
- **Client ID**: from the General tab of the API service app.

Press **Verify Now** (`idsync directory verify ID`). idsync connects and looks at each part on its own; what fails says \
what to do. Then press **Create** (`idsync directory enable ID`).

Where idsync's scheduler runs, an enabled directory is synced every 2 hours. **Sync Now** on the directory's card (`idsync sync ID`) does it at once, with or without a scheduler.",
            fills: &[OKTA_DOMAIN],
            shows_public_key: false,
        },
        Step {
            title: "When it does not work",
            text: "\
- *Unauthorized* or *Forbidden*: the service app is not set up entirely. Check that (1) the role has all three \
permissions, (2) the resource set holds the OIDC app, all users and all groups, (3) the role is assigned to the service \
app together with that resource set, (4) all three scopes are granted.
- *The public key is not accepted*: it must have been pasted whole, and the app saved, before you verify.
- *People or groups are missing*: only what is assigned to the sign-in app is synced. Open **Applications → \
Applications**, the OIDC app, **Assignments**, and assign them. `idsync directory explain ID WHO` tells for one person \
or group what is lacking.",
            fills: &[],
            shows_public_key: false,
        },
    ]
}
