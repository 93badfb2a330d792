//! Certificates and keys in PEM form (RFC 7468), and descriptions of files without them.

use callbox_base::text;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{PemObject, SectionKind},
};

/// The contents of a PEM file.
#[derive(Debug, Default)]
pub struct Pem {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<PrivateKeyDer<'static>>,
    labels: Vec<String>,
    is_encrypted: bool,
    is_damaged: bool,
    is_binary: bool,
}

impl Pem {
    /// Reads a file. Sections that cannot be read are left out.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = text::pem(bytes);
        let label = |line: &str| {
            let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            Some(label.to_owned())
        };
        let labels: Vec<_> = text.lines().filter_map(label).collect();
        // RFC 5958 has a label for it, the older form a header (RFC 1421 §4.6.1.1).
        let is_encrypted = labels.iter().any(|label| label == "ENCRYPTED PRIVATE KEY")
            || text
                .lines()
                .any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"));
        let mut pem = Self { labels, is_encrypted, ..Self::default() };
        // A certificate and a key in DER are sequences of more than 127 bytes (X.690 §8.1.3).
        pem.is_binary = matches!(bytes, [0x30, 0x81..=0x84, ..]);
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            match section {
                Ok((SectionKind::Certificate, der)) => pem.certificates.push(der.into()),
                Ok((kind, der)) => pem.keys.extend(PrivateKeyDer::from_pem(kind, der)),
                Err(_) => pem.is_damaged = true,
            }
        }
        pem
    }

    /// Returns the certificates, in their order.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Returns the first private key that is not encrypted.
    pub fn key(&self) -> Option<&PrivateKeyDer<'static>> {
        self.keys.first()
    }

    /// Returns true if a private key in the file is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Describes the contents that are there in place of a certificate or a key; the text begins
    /// with a colon or a comma, or is empty.
    pub fn other_contents(&self) -> String {
        match &self.labels[..] {
            [] if self.is_binary => {
                ": it is in the binary form (DER); openssl x509 and openssl pkey turn it into PEM, \
                 with -inform DER"
                    .to_owned()
            }
            [] => String::new(),
            _ if self.is_damaged => ": a section in it is cut or damaged".to_owned(),
            labels => {
                let mut kinds = labels.to_vec();
                kinds.dedup();
                format!(", but: {}", kinds.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn certificates_and_keys_are_found_among_others() {
        let text = [
            section("CERTIFICATE", "YQ=="),
            section("DH PARAMETERS", "YQ=="),
            section("EC PRIVATE KEY", "YQ=="),
            section("CERTIFICATE", "Yg=="),
        ];
        for text in [text.concat(), format!("\u{feff}{}", text.concat().replace('\n', "\r\n"))] {
            let pem = Pem::parse(text.as_bytes());
            assert_eq!(pem.certificates(), [b"a".to_vec().into(), b"b".to_vec().into()]);
            assert_eq!(pem.key().unwrap().secret_der(), b"a");
            assert!(!pem.is_encrypted());
        }
    }

    #[test]
    fn other_contents_are_described() {
        let encrypted = section("ENCRYPTED PRIVATE KEY", "YQ==");
        let legacy = section("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\nYQ==");
        for text in [encrypted, legacy] {
            let pem = Pem::parse(text.as_bytes());
            assert!(pem.is_encrypted() && pem.key().is_none(), "{text}");
        }
        let else_of = |bytes: &[u8]| Pem::parse(bytes).other_contents();
        assert_eq!(else_of(section("PUBLIC KEY", "YQ==").as_bytes()), ", but: PUBLIC KEY");
        assert_eq!(else_of(b""), "");
        assert!(else_of(b"\x30\x82\x01\x02").contains("(DER)"));
        let cut = "-----BEGIN CERTIFICATE-----\nYQ==\n";
        assert_eq!(else_of(cut.as_bytes()), ": a section in it is cut or damaged");
    }
}
