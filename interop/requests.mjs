// A jazz-tools account that calls and is called, driven by a test: one JSON request per line on stdin, one JSON answer per
// line on stdout.
//
//   node requests.mjs ws://127.0.0.1:PORT
import { createServer } from "node:http";
import {
  Account, JazzRequestError, authenticateRequest, experimental_defineRequest, generateAuthToken, isJazzRequestError, z,
} from "jazz-tools";
import { startWorker } from "jazz-tools/worker";
import { WasmCrypto } from "cojson/crypto/WasmCrypto";
import { createWebSocketPeer } from "cojson-transport-ws";
import { WebSocket } from "ws";
import { defineReplicaMethod } from "./reside.mjs";
import { answer } from "./answer.mjs";

const server = process.argv[2];
const SYNC = { timeout: 20_000 };
let me;
let lastBody;

// The bodies that the client sends, to be sent again.
const send = globalThis.fetch;
globalThis.fetch = (url, init) => {
  lastBody = init?.body ?? lastBody;
  return send(url, init);
};

async function answerOf(promise) {
  try {
    return { response: (await promise).toJSON() };
  } catch (error) {
    if (!isJazzRequestError(error)) throw error;
    return { message: error.message, code: error.code, details: error.details ?? null };
  }
}

// What the methods of the contract in the test do.
async function act(method, value, madeBy) {
  if (method === "panic") throw new JazzRequestError("as asked", 403, { text: value.text });
  return { text: `${value.text} from ${madeBy.$jazz.id}` };
}

const requests = {
  async start({ name }) {
    const crypto = await WasmCrypto.create();
    const peer = createWebSocketPeer({ id: "server", websocket: new WebSocket(server), role: "server" });
    const account = await Account.create({ creationProps: { name }, peers: [peer], crypto });
    await account.$jazz.waitForAllCoValuesSync(SYNC);
    const accountSecret = account.$jazz.localNode.getCurrentAgent().agentSecret;
    account.$jazz.localNode.gracefulShutdown();
    const worker = await startWorker({
      accountID: account.$jazz.id, accountSecret, syncServer: server, WebSocket, crypto, skipInboxLoad: true,
    });
    me = worker.worker;
    return { account: me.$jazz.id };
  },
  // Calls a method as `reside.mjs` does.
  async call({ values, ...target }) {
    const method = defineReplicaMethod({
      ...target, request: { text: z.string() }, response: { text: z.string() },
    });
    return answerOf(method.send(values, { owner: me }));
  },
  // Calls a URL as jazz-tools does by itself.
  async callPlainly({ url, workerId, values }) {
    const request = Object.fromEntries(Object.keys(values).map((key) => [key, z.json()]));
    const route = experimental_defineRequest({ url, workerId, request, response: { text: z.string() } });
    return answerOf(route.send(values, { owner: me }));
  },
  // Sends the last request again.
  async sendAgain({ url }) {
    const response = await send(url, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: lastBody,
    });
    return {
      status: response.status, header: response.headers.get("X-Jazz-Request-Error"), body: await response.json(),
    };
  },
  // Answers requests to any method; tells the endpoint.
  async listen() {
    const route = experimental_defineRequest({
      url: "http://unused", workerId: me.$jazz.id, request: { text: z.string() }, response: { text: z.string() },
    });
    const http = createServer(async (incoming, outgoing) => {
      const chunks = [];
      for await (const chunk of incoming) chunks.push(chunk);
      const request = new Request(`http://localhost${incoming.url}`, {
        method: incoming.method, headers: incoming.headers, body: Buffer.concat(chunks),
      });
      const method = incoming.url.split("/").at(-1);
      const response = await route.handle(request, me, (value, madeBy) => act(method, value, madeBy));
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      outgoing.end(await response.text());
    });
    await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
    return { endpoint: `http://127.0.0.1:${http.address().port}` };
  },
  // Runs a program and tells what it exports.
  async run({ file }) {
    return (await import(file)).default.toJSON();
  },
  async token() {
    return { token: generateAuthToken(me) };
  },
  async authenticate({ token }) {
    const request = new Request("http://localhost/", { headers: { Authorization: `Jazz ${token}` } });
    const { account, error } = await authenticateRequest(request, { loadAs: me });
    return { account: account?.$jazz.id ?? null, error: error?.message ?? null };
  },
};

await answer(requests);
process.exit(0);
