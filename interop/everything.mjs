// Makes, edits and shows one value of each kind.
import { createHash } from "node:crypto";
import { co, z } from "jazz-tools";
import { COMPLETE, Cat, Dog, Everything, Leaf } from "./schema.mjs";

// Bytes that follow from their number and a mark, to compare files without sending them.
const bytes = (length, mark) => Uint8Array.from({ length }, (_, index) => (index * 31 + mark) % 251);

export async function make(group, title, fileLength) {
  const file = await co.fileStream().createFromBlob(new Blob([bytes(fileLength, 1)], { type: "text/x-test" }), { owner: group });
  return Everything.create(
    {
      title,
      count: 1.5,
      done: false,
      at: new Date(1_750_000_000_123),
      size: "small",
      place: { x: 1, y: -2.5 },
      tags: co.list(z.string()).create(["a", "é"], group),
      leaves: co.list(Leaf).create([Leaf.create({ name: "first" }, group)], group),
      scores: co.record(z.string(), z.number()).create({ one: 1 }, group),
      log: co.feed(z.string()).create(["made"], group),
      text: co.plainText().create("Hello 👨‍👩‍👧!", group),
      html: co.richText().create("<p>Hello</p>", group),
      file,
      vector: co.vector(3).create([1, 0.5, -2], group),
      pet: Dog.create({ type: "dog", name: "Rex" }, group),
    },
    group,
  );
}

// Changes something in each value that can be changed.
export function edit(it, title) {
  const owner = it.$jazz.owner;
  it.tags.$jazz.push("pushed");
  it.tags.$jazz.remove(0);
  it.leaves.$jazz.unshift(Leaf.create({ name: title }, owner));
  it.leaves.at(-1).$jazz.set("name", "renamed");
  it.scores.$jazz.set("two", 2);
  it.scores.$jazz.delete("one");
  it.log.$jazz.push(title);
  it.text.insertAfter(4, " ✎");
  it.text.deleteRange({ from: 0, to: 1 });
  it.html.$jazz.applyDiff("<p>Hello <b>there</b></p>");
  it.$jazz.set("leaf", Leaf.create({ name: "one" }, owner));
  it.$jazz.set("pet", Cat.create({ type: "cat", livesLeft: 9 }, owner));
  it.$jazz.set("validUntil", new Date(1_760_000_000_000));
  it.$jazz.set("comment", "edited");
  it.$jazz.set("size", "large");
  it.$jazz.set("place", { x: 0, y: 0, label: "home" });
  it.$jazz.set("done", true);
  it.$jazz.set("title", title);
}

export async function show(id) {
  const it = await Everything.load(id, { resolve: COMPLETE });
  if (!it.$isLoaded) throw new Error(`not loaded: ${it.$jazz.loadingState}`);
  return plain(it);
}

function plain(it) {
  const file = it.file.getChunks();
  const content = file && Buffer.concat(file.chunks);
  return {
    title: it.title,
    count: it.count,
    done: it.done,
    at: it.at.getTime(),
    validUntil: it.validUntil?.getTime() ?? null,
    comment: it.comment ?? null,
    size: it.size,
    place: it.place,
    tags: [...it.tags],
    leaves: it.leaves.map((leaf) => leaf.name),
    scores: { ...it.scores },
    log: Object.values(it.log.perSession).flatMap((entries) => [...entries.all].map((entry) => entry.value)).sort(),
    text: it.text.toString(),
    html: it.html.toString(),
    file: file && { type: file.mimeType, length: content.length, sha256: createHash("sha256").update(content).digest("hex") },
    vector: [...it.vector],
    leaf: it.leaf?.name ?? null,
    pet: it.pet.type === "dog" ? { type: "dog", name: it.pet.name } : { type: it.pet.type, livesLeft: it.pet.livesLeft },
  };
}

// Answers when everything is as expected, however it gets there; says what it was last otherwise.
export function waitUntil(id, expected, within) {
  const wanted = canonical(expected);
  let last;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`still ${last}, not ${wanted}`)), within);
    const stop = Everything.subscribe(id, { resolve: COMPLETE }, (it) => {
      last = canonical(plain(it));
      if (last === wanted) {
        clearTimeout(timer);
        queueMicrotask(() => stop());
        resolve(expected);
      }
    });
  });
}

const canonical = (value) =>
  JSON.stringify(value, (_, member) =>
    member && typeof member === "object" && !Array.isArray(member) ? Object.fromEntries(Object.entries(member).sort()) : member,
  );
