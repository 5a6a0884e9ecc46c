//! Generate messages and clients: `generator PROTO_FOLDER OUT_FOLDER FILE...`, with protoc in `$PROTOC`.
use std::env;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [includes, out, files @ ..] = arguments.as_slice() else {
        panic!("usage: generator PROTO_FOLDER OUT_FOLDER FILE...");
    };
    tonic_prost_build::configure().build_server(false).out_dir(out).compile_protos(files, &[includes.clone()])
}
