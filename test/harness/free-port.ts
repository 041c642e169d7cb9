import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Systems give ports above this by themselves, to listeners on port 0 and to every connection. */
const FROM = 10_000;
const BELOW = 32_768;

/**
 * A port of loopback on which nothing listens. The system gives it to nobody by itself: it is still free when
 * the caller listens there, also again after a stop.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FROM, BELOW);
    if (await canListen(port)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
      .on("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(false) : reject(error)))
      .listen(port, () => server.close(() => resolve(true)));
  });
}
