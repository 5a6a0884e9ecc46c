//! Messages and gRPC stubs of the aimanager API, generated from `proto/`.

/// Package `aimanager.v1`.
pub mod v1 {
    include!("aimanager.v1.rs");
}
