//! Bodies that are too large or too slow, connections that do nothing, protocols, and the stop.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use crate::harness::{Server, repeated};

fn raw(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

/// Everything until the server closes.
fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    // A reset after the answer is an end like any other.
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn a_body_is_too_large_by_its_length_or_by_count() {
    let server = Server::with(|settings| settings.service.body_bytes_max = 1 << 20);
    server.make();
    let body = format!(
        "{{\"points\": [], \"x\": \"{}\"}}",
        repeated("0123456789", 200_000)
    );
    let error = server
        .request("PUT", "/collections/c/points", Some(&body))
        .error(400);
    assert!(
        error.contains("is larger than allowed (limit: 1048576 bytes)"),
        "{error}"
    );

    let mut stream = raw(&server);
    let head = "PUT /collections/c/points HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/json\r\n";
    write!(stream, "{head}content-length: 99999999999\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(
        &answer, b"HTTP/1.1 400",
        "refused before a byte of it was sent"
    );

    let mut stream = raw(&server);
    write!(stream, "{head}transfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = repeated("0123456789abcdef", 4096);
    for _ in 0..20 {
        write!(stream, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    write!(stream, "0\r\n\r\n").unwrap();
    let answer = rest(stream);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("of unknown length"), "{answer}");
}

#[test]
fn a_body_must_say_that_it_is_json() {
    let server = Server::new();
    server.make();
    let mut stream = raw(&server);
    let body = "{\"points\": []}";
    write!(
        stream,
        "PUT /collections/c/points HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let answer = rest(stream);
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("Content type error"),
        "{answer}"
    );
}

#[test]
fn a_body_that_stops_coming_loses_its_request() {
    let server = Server::with(|settings| settings.service.body_idle = Duration::from_millis(200));
    server.make();
    let mut stream = raw(&server);
    let head = "PUT /collections/c/points HTTP/1.1\r\nhost: x\r\n\
                content-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"points\"";
    stream.write_all(head.as_bytes()).unwrap();
    let answer = rest(stream);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(server.points_count(), 0);
}

#[test]
fn heads_are_bounded_in_number_size_and_time() {
    let server = Server::with(|settings| {
        settings.service.header_timeout = Duration::from_millis(300);
        settings.service.keep_alive = Duration::from_millis(300);
    });
    let mut stream = raw(&server);
    let headers = (0..100)
        .map(|n| format!("x-{n}: 1\r\n"))
        .collect::<String>();
    write!(stream, "GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n").unwrap();
    assert!(rest(stream).starts_with("HTTP/1.1 431"));

    let mut stream = raw(&server);
    // The server may close while this is still being sent.
    let _ = write!(
        stream,
        "GET / HTTP/1.1\r\nhost: {}\r\n\r\n",
        repeated("x", 200_000)
    );
    let answer = rest(stream);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );

    for beginning in ["", "GET / HTTP/1.1\r\nhost: x", "PRI * HTTP/2.0\r\n"] {
        let mut stream = raw(&server);
        stream.write_all(beginning.as_bytes()).unwrap();
        let start = Instant::now();
        rest(stream);
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{beginning:?} was kept open"
        );
    }
}

#[test]
fn one_address_gets_so_many_connections() {
    let server = Server::with(|settings| settings.service.connections_per_address_max = 2);
    let open = [raw(&server), raw(&server)];
    // Both are counted once they are accepted, which a third one shows by being closed.
    let start = Instant::now();
    while !rest(raw(&server)).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    drop(open);
}

#[test]
fn one_port_speaks_http_1_and_2() {
    let server = Server::new();
    server.fill(3);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (status, body) = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
        let io = TokioIo::new(stream);
        let executor = TokioExecutor::new();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
            .await
            .unwrap();
        tokio::spawn(connection);
        let body = json!({"query": [1, 0], "limit": 1}).to_string();
        let request = hyper::Request::post("http://x/collections/c/points/query")
            .header("content-type", "application/json")
            .body(Full::new(bytes::Bytes::from(body)))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            answer.into_body().collect().await.unwrap().to_bytes(),
        )
    });
    assert_eq!(status, 200);
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["result"]["points"][0]["id"], 3);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_stop_lets_running_requests_end_and_keeps_what_was_acknowledged() {
    let mut server = Server::new();
    server.make();
    let addr = server.addr();
    let running = server.running();
    let body = format!(
        "{{\"points\": [{}]}}",
        (1..=2000)
            .map(|n| format!("{{\"id\": {n}, \"vector\": [{n}, 1]}}"))
            .collect::<Vec<_>>()
            .join(",")
    );
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(
        stream,
        "PUT /collections/c/points?wait=true HTTP/1.1\r\nhost: x\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).unwrap();
    // An idle connection does not hold the stop up.
    let idle = TcpStream::connect(addr).unwrap();
    let start = Instant::now();
    running.stop().unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "waited for an idle connection"
    );
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    drop(idle);
    assert!(TcpStream::connect(addr).is_err(), "still listening");
}

#[test]
fn a_request_within_the_drain_time_is_answered() {
    let mut server = Server::new();
    server.make();
    let addr = server.addr();
    let running = server.running();
    let mut stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let body = "{\"points\": [{\"id\": 1, \"vector\": [1, 1]}]}";
    let (now, later) = body.split_at(10);
    write!(
        stream,
        "PUT /collections/c/points?wait=true HTTP/1.1\r\nhost: x\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{now}",
        body.len()
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let stopping = std::thread::Builder::new()
        .name("stop".to_owned())
        .spawn(move || running.stop().unwrap())
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    stream.write_all(later.as_bytes()).unwrap();
    let answer = rest(stream);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("completed"), "{answer}");
    stopping.join().unwrap();
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let mut server = Server::new();
    let mut settings = server::Settings::default();
    settings.service.port = 0;
    settings.storage.path = server.directory.path().join("data");
    let error = server::start(settings).unwrap_err();
    assert!(error.to_string().contains("LOCK"), "{error}");
    server.stop();
}
