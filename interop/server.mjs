// A sync server of the reference: one node without storage behind a WebSocket, put together as `jazz-run sync` does it.
// Prints its port, and ends with its standard input.
//
//   node server.mjs
import { createServer } from "node:http";
import { LocalNode } from "cojson";
import { WasmCrypto } from "cojson/crypto/WasmCrypto";
import { createWebSocketPeer } from "cojson-transport-ws";
import { WebSocketServer } from "ws";

const crypto = await WasmCrypto.create();
const secret = crypto.newRandomAgentSecret();
const node = new LocalNode(secret, crypto.newRandomSessionID(crypto.getAgentID(secret)), crypto);
const http = createServer();
let connections = 0;

new WebSocketServer({ server: http }).on("connection", (websocket) => {
  const pings = setInterval(() => websocket.send(JSON.stringify({ type: "ping", time: Date.now(), dc: "here" })), 1500);
  websocket.on("close", () => clearInterval(pings));
  node.syncManager.addPeer(
    createWebSocketPeer({
      id: `client ${connections++}`,
      role: "client",
      websocket,
      expectPings: false,
      batchingByDefault: false,
      deletePeerStateOnClose: true,
    }),
  );
});

process.stdin.on("end", () => process.exit(0)).resume();
http.listen(0, "127.0.0.1", () => process.stdout.write(`${http.address().port}\n`));
