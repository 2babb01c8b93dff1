// A jazz-tools client that a test drives: one JSON request per line on stdin, one JSON answer per line on stdout.
//
//   node client.mjs ws://127.0.0.1:PORT
import { Account, Group, co, deleteCoValues, z } from "jazz-tools";
import { startWorker } from "jazz-tools/worker";
import { WasmCrypto } from "cojson/crypto/WasmCrypto";
import { createWebSocketPeer } from "cojson-transport-ws";
import { WebSocket } from "ws";
import * as everything from "./everything.mjs";
import { COMPLETE, Everything, Leaf, Note } from "./schema.mjs";
import { answer } from "./answer.mjs";

// Standard output is for answers.
for (const level of ["log", "info", "debug", "warn"]) console[level] = () => {};

const server = process.argv[2];
const SYNC = { timeout: 100_000 };
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

const synced = () => worker.worker.$jazz.waitForAllCoValuesSync(SYNC);

// Answers when a value is as wanted; says so if it doesn't become that.
function until(schema, id, resolve, fits) {
  return new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error(`${id} did not become what was waited for`)), SYNC.timeout);
    const stop = schema.subscribe(id, { resolve }, (value) => {
      if (!fits(value)) return;
      clearTimeout(timer);
      queueMicrotask(() => stop());
      done({});
    });
  });
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
    await synced();
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
    await synced();
    return show(note);
  },
  // Answers when the title is as wanted.
  async waitForTitle({ id, title }) {
    await until(Note, id, { tags: true }, (note) => note.title === title);
    return show(await load(id));
  },
  // Doesn't wait for the server.
  async pushTag({ id, tag }) {
    (await load(id)).tags.$jazz.push(tag);
    return {};
  },
  async waitForTags({ id, count }) {
    await until(Note, id, { tags: true }, (note) => note.tags.length === count);
    return show(await load(id));
  },
  async makeEverything({ member, title, fileLength }) {
    const group = Group.create({ owner: worker.worker });
    group.addMember(await Account.load(member), "writer");
    const made = await everything.make(group, title, fileLength);
    await synced();
    return { id: made.$jazz.id, shown: await everything.show(made.$jazz.id) };
  },
  async editEverything({ id, title }) {
    await everything.show(id);
    everything.edit(await Everything.load(id, { resolve: COMPLETE }), title);
    await synced();
    return everything.show(id);
  },
  waitForEverything({ id, expected }) {
    return everything.waitUntil(id, expected, SYNC.timeout);
  },
  async createGroup() {
    const group = Group.create({ owner: worker.worker });
    await synced();
    return { group: group.$jazz.id };
  },
  async addMember({ group, member, role }) {
    (await Group.load(group)).addMember(await Account.load(member), role);
    await synced();
    return {};
  },
  async addEveryone({ group, role }) {
    (await Group.load(group)).addMember("everyone", role);
    await synced();
    return {};
  },
  async extend({ group, parent, role }) {
    (await Group.load(group)).addMember(await Group.load(parent), role);
    await synced();
    return {};
  },
  async invite({ group, role }) {
    const secret = (await Group.load(group)).$jazz.createInvite(role);
    await synced();
    return { secret };
  },
  async acceptInvite({ group, secret }) {
    await worker.worker.acceptInvite(group, secret, co.group());
    await synced();
    return {};
  },
  // Answers when the member has the role, or no role.
  async waitForRole({ group, member, role }) {
    return until(co.group(), group, {}, (loaded) => (loaded.getRoleOf(member) ?? null) === role);
  },
  async writeLeaf({ group, name }) {
    const leaf = Leaf.create({ name }, await Group.load(group));
    await synced();
    return { id: leaf.$jazz.id };
  },
  // The name of a leaf, or why there is none.
  async readLeaf({ id }) {
    const leaf = await Leaf.load(id);
    return leaf.$isLoaded ? { name: leaf.name ?? null } : { state: leaf.$jazz.loadingState };
  },
  async waitForLeaf({ id, name }) {
    return until(Leaf, id, {}, (leaf) => leaf.name === name);
  },
  // Writes in a branch of a leaf, which is made if there is none.
  async writeInBranch({ id, branch, name }) {
    const leaf = await Leaf.load(id, { unstable_branch: { name: branch } });
    leaf.$jazz.set("name", name);
    await synced();
    return {};
  },
  async readBranch({ id, branch }) {
    const leaf = await Leaf.load(id, { unstable_branch: { name: branch } });
    return { name: leaf.name };
  },
  async mergeBranch({ id, branch }) {
    await Leaf.unstable_merge(id, { branch: { name: branch } });
    await synced();
    return {};
  },
  // An image of which there is one size besides the original.
  async makeImage({ group, text }) {
    const owner = await Group.load(group);
    const file = await co.fileStream().createFromBlob(new Blob([text], { type: "image/x-test" }), { owner });
    const image = co.image().create(
      { original: file, originalSize: [20, 10], placeholderDataURL: "data:,", progressive: true, "10x5": file }, owner,
    );
    await synced();
    return { id: image.$jazz.id };
  },
  async readImage({ id }) {
    const image = await co.image().load(id, { resolve: { original: true } });
    const raw = image.$jazz.raw.toJSON();
    return {
      originalSize: image.originalSize,
      placeholder: image.placeholderDataURL ?? null,
      progressive: image.progressive,
      text: await image.original.toBlob().text(),
      sizes: Object.keys(raw).filter((key) => /^\d+x\d+$/.test(key)),
    };
  },
  async deleteLeaf({ id }) {
    await deleteCoValues(Leaf, id);
    await synced();
    return {};
  },
  // Answers when a leaf is deleted.
  async waitForDeletion({ id }) {
    for (;;) {
      const leaf = await Leaf.load(id);
      if (leaf.$jazz.loadingState === "deleted") return {};
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
  async synced() {
    await synced();
    return {};
  },
  async removeMember({ group, member }) {
    const loaded = await Group.load(group);
    loaded.removeMember(await Account.load(member));
    await synced();
    return {};
  },
};

await answer(requests);
process.exit(0);
