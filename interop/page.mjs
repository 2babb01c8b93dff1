// A page that uses jazz-tools: it makes an account, and then shows a note in a field that edits its title.
// `#ws://127.0.0.1:PORT` in its address names the server.
import { WasmCrypto } from "cojson/crypto/WasmCrypto";
import { createWebSocketPeer } from "cojson-transport-ws";
import { Account } from "jazz-tools";
import { Note } from "./schema.mjs";

const account = document.querySelector("#account");
const title = document.querySelector("#title");

const websocket = new WebSocket(location.hash.slice(1));
const me = await Account.create({
  creationProps: { name: "Page" },
  peers: [createWebSocketPeer({ id: "server", websocket, role: "server" })],
  crypto: await WasmCrypto.create(),
});
await me.$jazz.waitForAllCoValuesSync();
account.textContent = me.$jazz.id;

// What the test calls: shows a note from now on.
globalThis.show = async (id) => {
  const note = await Note.load(id, { loadAs: me });
  if (!note.$isLoaded) throw new Error(`not loaded: ${note.$jazz.loadingState}`);
  note.$jazz.subscribe((now) => {
    title.value = now.title;
  });
  title.oninput = () => note.$jazz.set("title", title.value);
};
