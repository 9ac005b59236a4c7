//! Permits and socket options.

use super::*;

#[tokio::test]
async fn with_all_permits_taken_the_next_client_waits() {
    let node = node_with(Limits { connections_max: 2, ..Limits::default() }, None);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(node.address).await.unwrap();
        client.write_all(GET.as_bytes()).await.unwrap();
        read_answer(&mut client).await;
        clients.push(client);
    }
    assert_eq!((node.shared.counters().active(), node.shared.counters().full()), (2, 0));
    let mut third = TcpStream::connect(node.address).await.unwrap();
    third.write_all(GET.as_bytes()).await.unwrap();
    until("the third waits", || node.shared.counters().full() == 1).await;
    assert_eq!(node.origin.seen().len(), 2);
    drop(clients.pop());
    assert_eq!(statuses(&read_answer(&mut third).await), ["200"]);
    assert_eq!((node.shared.counters().active(), node.shared.counters().accepted()), (2, 3));

    // A higher limit counts at once.
    let mut fourth = TcpStream::connect(node.address).await.unwrap();
    fourth.write_all(GET.as_bytes()).await.unwrap();
    until("the fourth waits", || node.shared.counters().full() == 2).await;
    node.shared.set_limits(Limits { connections_max: 3, ..Limits::default() });
    assert_eq!(statuses(&read_answer(&mut fourth).await), ["200"]);
}

#[tokio::test]
async fn accepted_connections_inherit_no_delay() {
    let config = Config { address: "127.0.0.1:0".parse().unwrap(), tls: false };
    let mut listeners = Listeners::bind(&[config], 1).unwrap();
    let socket = listeners.take(0).remove(0);
    let _client = std::net::TcpStream::connect(socket.address).unwrap();
    let (accepted, _) = socket.listener.accept().unwrap();
    assert!(accepted.nodelay().unwrap());
    let unsent = socket2::SockRef::from(&accepted).tcp_notsent_lowat().unwrap();
    assert_eq!(unsent, limits::SOCKET_UNSENT_BYTES_MAX);
}
