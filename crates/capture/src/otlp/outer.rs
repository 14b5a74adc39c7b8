//! The resource and scope that points of metrics are told of: read once, however many points there are.

use std::cell::OnceCell;

use ducat_ledger::{Key, KeySpace};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::record::identity_of;

/// A resource's attributes.
pub struct Process<'a> {
    pub attributes: &'a [KeyValue],
    identity: OnceCell<String>,
}

impl<'a> Process<'a> {
    pub fn of(resource: Option<&'a Resource>) -> Self {
        Self { attributes: resource.map_or(&[][..], |resource| &resource.attributes), identity: OnceCell::new() }
    }
}

/// The attributes of a resource and of a scope, whose name tells the instrumentation.
pub struct Outer<'a> {
    process: &'a Process<'a>,
    pub attributes: [&'a [KeyValue]; 2],
    scope: &'a str,
    identity: OnceCell<String>,
}

impl<'a> Outer<'a> {
    pub fn of(process: &'a Process<'a>, scope: Option<&'a InstrumentationScope>) -> Self {
        let of_scope = scope.map_or(&[][..], |scope| &scope.attributes);
        let name = scope.map_or("", |scope| &scope.name);
        Self { process, attributes: [process.attributes, of_scope], scope: name, identity: OnceCell::new() }
    }

    /// Tells it from others, in few bytes.
    pub fn identity(&self) -> &str {
        let short = |said: &str| Key::of(KeySpace::Request, "", said).to_string();
        self.identity.get_or_init(|| {
            let process = self.process.identity.get_or_init(|| short(&identity_of(self.process.attributes)));
            short(&format!("{}\n{process}\n{}", self.scope, identity_of(self.attributes[1])))
        })
    }
}
