/** One limit on how long something on the network may take: our value, and why. */
export interface TimeLimit {
  readonly ms: number;
  /** What is limited, as the documentation shows it. */
  readonly limits: string;
  /** The library's or the system's own value, which is never used. */
  readonly insteadOf: string;
  readonly because: string;
}

/**
 * Every time limit of a connection. No socket of this program uses a default of Node.js or undici, because
 * such a default can change with a release, and one of them kept slow hosts from ever connecting: Node.js
 * gives each address of a name 250 ms and then drops that attempt. `docs/network.md` is made of these rows.
 */
export const TIME_LIMITS = {
  connect: {
    ms: 20_000,
    limits: "DNS lookup and TCP connect to Microsoft, a proxy or splunkd, together",
    insteadOf: "undici: 10 s. Node.js: none",
    because:
      "Linux repeats a lost SYN after 1, 3, 7 and 15 s. So a connect succeeds even if the first four packets are lost.",
  },
  tlsHandshake: {
    ms: 20_000,
    limits: "TLS handshake with Microsoft, a proxy or splunkd, and a proxy's answer to CONNECT",
    insteadOf: "undici: 10 s together with the connect. Node.js: none for a client",
    because: "A proxy that inspects TLS first connects to the destination itself.",
  },
  nextAddress: {
    ms: 250,
    limits: "wait before the next address of a name is tried as well; the earlier attempts go on",
    insteadOf: "Node.js: 250 ms, after which the earlier attempt is dropped",
    because: "RFC 8305 section 5 recommends 250 ms between two attempts.",
  },
  headers: {
    ms: 60_000,
    limits: "wait for the headers of an answer, where no row below is for that request",
    insteadOf: "undici: 300 s",
    because: "Such an answer is small. A longer silence is better reported than waited for.",
  },
  signIn: {
    ms: 30_000,
    limits: "wait for the headers, and between two pieces, of an answer of Microsoft's sign-in service",
    insteadOf: "undici: 300 s",
    because: "The sign-in service answers within seconds, and every request of the customer waits for it.",
  },
  identity: {
    ms: 3_000,
    limits: "a whole request to Azure's managed identity endpoint (169.254.169.254)",
    insteadOf: "undici: 300 s",
    because: "The endpoint is on the machine's own host. Elsewhere than in Azure nothing answers at all.",
  },
  list: {
    ms: 120_000,
    limits: "wait for the headers of a page of alerts, incidents and XDR incidents",
    insteadOf: "undici: 300 s",
    because: "Microsoft prepares a page before it sends the first byte. Large tenants need up to a minute.",
  },
  largeList: {
    ms: 180_000,
    limits: "wait for the headers of a page of MDE and SIEM alerts",
    insteadOf: "undici: 300 s",
    because: "Such a page holds up to 10,000 alerts with their evidence.",
  },
  hunting: {
    ms: 210_000,
    limits: "wait for the headers of an answer to a hunting query",
    insteadOf: "undici: 300 s",
    because: "Microsoft ends a query after three minutes, and sends no byte before.",
  },
  doctor: {
    ms: 20_000,
    limits: "each check of `doctor` and `arcsight check`",
    insteadOf: "undici: 300 s for the headers",
    because: "A person waits for the result.",
  },
  splunkd: {
    ms: 30_000,
    limits: "wait for the headers of an answer of splunkd",
    insteadOf: "undici: 300 s",
    because: "splunkd answers within a second, and within 30 s while it starts.",
  },
  body: {
    ms: 60_000,
    limits: "wait between two pieces of a body",
    insteadOf: "undici: 300 s",
    because: "A server that began to answer sends the next piece within seconds.",
  },
  idleConnection: {
    ms: 50_000,
    limits: "how long an unused connection is kept when the server names no time",
    insteadOf: "undici: 4 s",
    because: "It is longer than most of `poll_seconds`, and below the 60 s after which firewalls forget connections.",
  },
  idleConnectionNamed: {
    ms: 600_000,
    limits: "how long an unused connection is kept at most, when the server names a time",
    insteadOf: "undici: 600 s",
    because:
      "Firewalls often forget a connection after less than that. The server's own time is usually below 2 minutes.",
  },
  idleConnectionMargin: {
    ms: 2_000,
    limits: "how much earlier than the server's time an unused connection is closed",
    insteadOf: "undici: 2 s",
    because: "A request must not be sent while the server closes the connection.",
  },
  acknowledgement: {
    ms: 60_000,
    limits: "wait of `arcsight check` and `rejected resend` for Splunk's acknowledgement of an event",
    insteadOf: "none",
    because: "An indexer acknowledges within seconds. A running collector waits longer, and then sends again.",
  },
  tcpKeepAlive: {
    ms: 30_000,
    limits: "idle time after which the system checks that the other side still exists",
    insteadOf: "undici: 60 s. Linux: 2 hours",
    because: "A receiver that lost its power is noticed, and a firewall's table keeps the connection.",
  },
  outputConnect: {
    ms: 10_000,
    limits: "DNS lookup, TCP connect and TLS handshake to a receiver of an output, together",
    insteadOf: "Node.js: none",
    because: "Receivers are near. Events wait in the spool meanwhile, and the connect is repeated.",
  },
  kafkaRequest: {
    ms: 30_000,
    limits: "wait for the answer of a broker of Kafka",
    insteadOf: "@platformatic/kafka: 30 s",
    because: "A transaction that is longer than 30 s is ended by Kafka. The program then asks what was committed.",
  },
} as const satisfies Readonly<Record<string, TimeLimit>>;
