//! Signs the JSON Web Tokens of `{{token}}` (RFC 7519, HS256).

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::blank::Names;
use super::file::RawToken;
use super::template::{Place, Template, Values};

/// Signs tokens; its secret is never shown.
#[derive(Clone)]
pub struct Signer {
    key: Hmac<Sha256>,
    claims: Template,
    lifetime_s: u64,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Signer").field("claims", &self.claims).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the secret and checks the claims; the error says which key is wrong.
    pub(super) fn new(
        raw: &RawToken,
        folder: &Path,
        names: Names<'_>,
    ) -> Result<Self, (&'static str, String)> {
        let secret = secret(raw, folder)?;
        if secret.is_empty() {
            return Err(("secret_env", "the secret is empty".into()));
        }
        let claims = Template::compile(&raw.claims, Place::Json, Names { token: false, ..names })
            .map_err(|why| ("claims", why))?;
        if claims.needs_row() {
            return Err(("claims", "a token is made before there is a row".into()));
        }
        let key = Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        Ok(Self { key, claims, lifetime_s: raw.lifetime_s.unwrap_or(3600) })
    }

    /// The claims with their blanks filled.
    pub(super) fn claims(&self, values: &Values<'_>) -> Option<serde_json::Map<String, Value>> {
        serde_json::from_str(&self.claims.fill(values)).ok()
    }

    pub(super) fn sign(&self, values: &Values<'_>) -> String {
        let now_s = chrono::Utc::now().timestamp().unsigned_abs();
        let mut claims = self.claims(values).unwrap_or_default();
        claims.insert("iat".into(), now_s.into());
        claims.insert("exp".into(), (now_s + self.lifetime_s).into());
        self.encode(&Value::Object(claims).to_string())
    }

    fn encode(&self, claims: &str) -> String {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut token = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        token.push('.');
        token.push_str(&encode(claims.as_bytes()));
        let mut mac = self.key.clone();
        mac.update(token.as_bytes());
        let signature = encode(&mac.finalize().into_bytes());
        token.push('.');
        token + &signature
    }
}

fn secret(raw: &RawToken, folder: &Path) -> Result<String, (&'static str, String)> {
    match (&raw.secret_env, &raw.secret_file) {
        (Some(name), None) => std::env::var(name)
            .map_err(|_| ("secret_env", format!("the environment has no variable {name}"))),
        (None, Some(file)) => {
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| ("secret_file", format!("{}: {error}", path.display())))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        _ => Err(("secret_env", "give secret_env or secret_file, one of them".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_signed_as_the_standard_says() {
        // The example of jwt.io, whose header has the same fields in the same order.
        let signer = Signer {
            key: Hmac::new_from_slice(b"your-256-bit-secret").expect("a key"),
            claims: Template::compile("{}", Place::Json, Names::default()).expect("a template"),
            lifetime_s: 60,
        };
        let token = signer.encode(r#"{"sub":"1234567890","name":"John Doe","iat":1516239022}"#);
        let expected = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
            eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.\
            SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
        assert_eq!(token, expected);
        assert!(!format!("{signer:?}").contains("secret"));
    }
}
