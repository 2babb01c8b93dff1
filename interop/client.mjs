// A jazz-tools client that a test drives: one JSON request per line on stdin, one JSON answer per line on stdout.
//
//   node client.mjs ws://127.0.0.1:PORT
//
// The schema `Note` here and the struct `Note` in crates/jazz-sync/tests/interop/notes.rs describe the same values.
import { createInterface } from "node:readline";
import { Account, Group, co, z } from "jazz-tools";
import { startWorker } from "jazz-tools/worker";
import { WasmCrypto } from "cojson/crypto/WasmCrypto";
import { createWebSocketPeer } from "cojson-transport-ws";
import { WebSocket } from "ws";

const Note = co.map({
  title: z.string(),
  count: z.number(),
  at: z.date(),
  comment: z.optional(z.string()),
  tags: co.list(z.string()),
});

const server = process.argv[2];
const SYNC = { timeout: 20_000 };
let worker;

const show = (note) => ({
  title: note.title,
  count: note.count,
  at: note.at.toISOString(),
  comment: note.comment ?? null,
  tags: [...note.tags],
});

async function load(id) {
  const note = await Note.load(id, { resolve: { tags: true } });
  if (!note.$isLoaded) throw new Error(`not loaded: ${note.$jazz.loadingState}`);
  return note;
}

const requests = {
  async start({ name }) {
    const crypto = await WasmCrypto.create();
    const peer = createWebSocketPeer({ id: "server", websocket: new WebSocket(server), role: "server" });
    const account = await Account.create({ creationProps: { name }, peers: [peer], crypto });
    await account.$jazz.waitForAllCoValuesSync(SYNC);
    const accountSecret = account.$jazz.localNode.getCurrentAgent().agentSecret;
    account.$jazz.localNode.gracefulShutdown();
    worker = await startWorker({
      accountID: account.$jazz.id, accountSecret, syncServer: server, WebSocket, crypto, skipInboxLoad: true,
    });
    return { account: account.$jazz.id };
  },
  // A note in a new group in which the account `member` has the role.
  async create({ member, role, title, tags }) {
    const group = Group.create({ owner: worker.worker });
    const account = await Account.load(member);
    group.addMember(account, role);
    const list = co.list(z.string()).create(tags, group);
    const note = Note.create({ title, count: 1, at: new Date(1750000000000), tags: list }, group);
    await worker.worker.$jazz.waitForAllCoValuesSync(SYNC);
    return { id: note.$jazz.id, group: group.$jazz.id };
  },
  async read({ id }) {
    return show(await load(id));
  },
  async edit({ id, title, tag }) {
    const note = await load(id);
    note.$jazz.set("title", title);
    note.$jazz.set("comment", "edited");
    note.tags.$jazz.push(tag);
    await worker.worker.$jazz.waitForAllCoValuesSync(SYNC);
    return show(note);
  },
  // Answers when the title is as wanted.
  async waitForTitle({ id, title }) {
    const note = await load(id);
    if (note.title === title) return show(note);
    return new Promise((resolve) => {
      const stop = note.$jazz.subscribe({ resolve: { tags: true } }, (value) => {
        if (value.title === title) {
          stop?.();
          resolve(show(value));
        }
      });
    });
  },
  async removeMember({ group, member }) {
    const loaded = await Group.load(group);
    loaded.removeMember(await Account.load(member));
    await worker.worker.$jazz.waitForAllCoValuesSync(SYNC);
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { request, ...parameters } = JSON.parse(line);
  try {
    process.stdout.write(JSON.stringify({ ok: await requests[request](parameters) }) + "\n");
  } catch (error) {
    process.stdout.write(JSON.stringify({ error: String(error?.stack ?? error) }) + "\n");
  }
}
process.exit(0);
