use std::io::{Read, Write};
use std::net::TcpStream;

use archipel_testkit::{Reply, Script};

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn says_what_it_was_told() {
    let server = Script::new()
        .on("GET", "/v2/", Reply::new(401).header("Location", "http://{address}/x"))
        .on("GET", "/v2/", Reply::new(200).body("again"))
        .on("PUT", "/b?digest=1", Reply::new(201))
        .on("GET", "/half", Reply::new(200).body("0123456789").cut_after(3))
        .start();
    let get = |path: &str| ask(server.address(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let first = get("/v2/");
    assert!(first.starts_with("HTTP/1.1 401 ") && first.contains(&format!("http://{}/x", server.address())), "{first}");
    assert!(get("/half").ends_with("Content-Length: 10\r\n\r\n012"));
    let chunked = "PUT /b?digest=1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert!(ask(server.address(), chunked).starts_with("HTTP/1.1 201 "));
    assert!(get("/v2/").ends_with("again"));
    assert_eq!(server.requests().len(), 4);
    assert!(server.finish().iter().any(|request| request.body == b"abc"));
}

#[test]
#[should_panic(expected = "not in the script: [\"GET /surprise\"]")]
fn tells_of_what_it_was_not_told() {
    let server = Script::new().start();
    assert!(ask(server.address(), "GET /surprise HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    server.finish();
}
