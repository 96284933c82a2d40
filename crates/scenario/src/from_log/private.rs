//! Names and values that tell who somebody is or let somebody in.

/// A name without case, `_` and `-`.
pub(super) fn plain_name(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a parameter, field or segment of this name holds an org.
pub(super) fn names_an_org(name: &str) -> bool {
    let name = plain_name(name);
    let name = name.strip_prefix('x').filter(|rest| rest.starts_with(['o', 't'])).unwrap_or(&name);
    let name = name.strip_suffix("id").unwrap_or(name);
    matches!(name, "org" | "organization" | "organisation" | "tenant")
}

/// Whether a parameter of this name holds what nobody else may see.
pub(super) fn names_a_secret(name: &str) -> bool {
    const PARTS: [&str; 20] = [
        "token",
        "passw",
        "passwd",
        "pwd",
        "secret",
        "apikey",
        "accesskey",
        "signature",
        "session",
        "auth",
        "credential",
        "jwt",
        "csrf",
        "xsrf",
        "otp",
        "cookie",
        "email",
        "phone",
        "iban",
        "bearer",
    ];
    const NAMES: [&str; 10] =
        ["key", "sig", "sid", "code", "pin", "pass", "hash", "hmac", "nonce", "state"];
    let name = plain_name(name);
    PARTS.iter().any(|part| name.contains(part))
        || NAMES.contains(&name.as_str())
        || name.ends_with("key")
}

/// Whether a value looks as if it let somebody in, or names a person.
pub(super) fn is_private(value: &str) -> bool {
    let web_token = value.starts_with("eyJ") && value.contains('.');
    let long = value.len() >= 20
        && !is_uuid(value)
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+/.~:".contains(&byte))
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic());
    web_token || long || value.contains('@') || is_jumble(value)
}

/// Whether a text without digits changes its case too often for words.
fn is_jumble(value: &str) -> bool {
    let changes = value
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    value.len() >= 20 && changes.count() >= 5
}

/// Whether a text is a UUID, whose 128 bits are an id and no secret.
pub(super) fn is_uuid(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match dashes.contains(&at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

/// Whether a text is a name that headers may have.
pub(super) fn is_token(name: &str) -> bool {
    (1..=60).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_and_by_look() {
        for name in
            ["token", "access_token", "X-Amz-Signature", "api_key", "sessionId", "pwd", "code"]
        {
            assert!(names_a_secret(name), "{name}");
        }
        for name in ["orgId", "limit", "month", "from", "category", "page"] {
            assert!(!names_a_secret(name), "{name}");
        }
        for value in ["eyJhbGciOi.x.y", "4f9a8b7c6d5e4f3a2b1c0d", "ann@example.org"] {
            assert!(is_private(value), "{value}");
        }
        for value in ["1048576", "rooms", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "2026-01-01"] {
            assert!(!is_private(value), "{value}");
        }
    }

    #[test]
    fn orgs_are_known_by_name() {
        for name in ["orgId", "org_id", "organizationId", "organisation", "X-Org-Id", "tenant"] {
            assert!(names_an_org(name), "{name}");
        }
        for name in ["id", "origin", "order_id", "organ"] {
            assert!(!names_an_org(name), "{name}");
        }
    }
}
