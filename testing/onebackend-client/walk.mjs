// 1Backend's own JavaScript client against a Strongroom server. `testing/e2e/tests/onebackend_client.rs` runs it.
// Stdin: {"url", "admin": {"slug", "password"}}, of a new instance with open registration.
// Each step is printed when it is done; the first that is not as it should be ends the walk with code 1.

import assert from "node:assert/strict";
import { createVerify } from "node:crypto";
import { readFileSync } from "node:fs";
import { Configuration, ResponseError, SecretSvcApi, UserSvcApi } from "@1backend/client";

const { url, admin } = JSON.parse(readFileSync(0, "utf8"));
const appHost = "unnamed";
const password = "correct horse battery";

// The client attaches a token only as `apiKey`, and to some calls not at all: those get it as a header.
const apis = (token) => {
  const anonymous = new Configuration({ basePath: url });
  const known = new Configuration({ basePath: url, apiKey: `Bearer ${token}` });
  const headed = new Configuration({ basePath: url, headers: { Authorization: `Bearer ${token}` } });
  const config = token ? known : anonymous;
  return { users: new UserSvcApi(config), secrets: new SecretSvcApi(config), headed: new UserSvcApi(headed) };
};

const step = async (name, run) => {
  await run();
  console.log(`ok ${name}`);
};

const refused = (status, promise) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof ResponseError, `${error}`);
    assert.equal(error.response.status, status);
    return true;
  });

const decode = (part) => JSON.parse(Buffer.from(part, "base64url").toString());
const save = (who, ...secrets) => who.secrets.saveSecrets({ body: { secrets } });
const list = async (who, body) => (await who.secrets.listSecrets(body && { body })).secrets;
const names = async (who, body) => (await list(who, body)).map((secret) => secret.id);

const anyone = apis();
let token, root, alice, bob, carol;

await step("login", async () => {
  ({ token } = await anyone.users.login({ body: { appHost, device: "walk", ...admin } }));
  assert.equal(token.app.host, appHost);
  assert.equal(token.app.id, token.appId);
  assert.equal(token.device, "walk");
  assert.ok(new Date(token.expiresAt) > new Date(token.createdAt));
  root = apis(token.token);
});

await step("login with a wrong password", async () => {
  await refused(401, anyone.users.login({ body: { appHost, slug: admin.slug, password: "a wrong password" } }));
});

await step("self", async () => {
  const self = await root.users.readSelf({ body: { countTokens: true } });
  assert.equal(self.user.slug, admin.slug);
  assert.equal(self.user.id, token.userId);
  assert.deepEqual(self.roles, ["user-svc:user", "user-svc:admin"]);
  assert.equal(self.tokenCount, 2, "this login, and the root token of the first start");
  assert.equal((await root.users.readSelf()).user.slug, admin.slug, "also without a body");
  await refused(422, anyone.users.readSelf());
});

await step("the token's signature verifies with the public key", async () => {
  const { publicKey } = await anyone.users.getPublicKey();
  const [header, claims, signature] = token.token.split(".");
  assert.equal(decode(header).alg, "RS256");
  assert.ok(createVerify("RSA-SHA256").update(`${header}.${claims}`).verify(publicKey, signature, "base64url"));
  assert.ok(!createVerify("RSA-SHA256").update(`${header}.${claims}x`).verify(publicKey, signature, "base64url"));
  const told = decode(claims);
  assert.equal(told["1ui"], token.userId);
  assert.equal(told["1sl"], admin.slug);
  assert.equal(told["1ai"], token.appId);
  assert.ok(told["1ro"].includes("user-svc:admin"));
  assert.equal(told.exp, Math.floor(new Date(token.expiresAt) / 1000));
});

await step("save and list", async () => {
  await save(root, { id: "walk/A", value: "one" }, { id: "walk/B", value: "zwei 😀" });
  assert.deepEqual(await names(root), ["walk/A", "walk/B"]);
  assert.deepEqual(await names(root, {}), ["walk/A", "walk/B"]);
  assert.deepEqual(await names(root, { id: "walk/B" }), ["walk/B"]);
  assert.deepEqual(await names(root, { ids: ["walk/B", "walk/A", "walk/C"] }), ["walk/A", "walk/B"]);
  assert.deepEqual(await names(root, { ids: [] }), []);
  assert.deepEqual(await names(root, { id: "walk/none" }), []);
  const [secret] = await list(root, { id: "walk/B" });
  assert.equal(secret.value, "zwei 😀");
  assert.equal(secret.appId, token.appId);
  assert.equal(secret.internalId, `${token.appId}:walk/B`);
});

await step("update", async () => {
  await save(root, { id: "walk/A", value: "two" });
  assert.equal((await list(root, { id: "walk/A" }))[0].value, "two");
  await save(root, { id: "walk/A", value: "" });
  assert.equal((await list(root, { id: "walk/A" }))[0].value, "");
});

await step("is-secure", async () => {
  assert.equal((await root.secrets.isSecure()).isSecure, true);
});

await step("register", async () => {
  const register = async (slug) =>
    apis((await anyone.users.register({ body: { appHost, slug, password, name: `The ${slug}` } })).token.token);
  alice = await register("alice");
  bob = await register("bob");
  carol = await register("carol");
  const self = await alice.users.readSelf({});
  assert.equal(self.user.name, "The alice");
  assert.deepEqual(self.roles, ["user-svc:user"]);
  await refused(409, register("alice"));
});

await step("a reader who is named sees it, others do not", async () => {
  await save(alice, { id: "alice/SHARED", value: "for bob", readers: ["alice", "bob"] });
  assert.equal((await list(bob))[0].value, "for bob");
  assert.deepEqual((await list(bob))[0].readers, ["alice", "bob"]);
  assert.deepEqual(await names(carol), []);
  assert.deepEqual(await names(carol, { id: "alice/SHARED" }), []);
  assert.deepEqual(await names(root), ["alice/SHARED", "walk/A", "walk/B"]);
});

await step("writes that are not theirs are refused", async () => {
  await refused(403, save(bob, { id: "alice/SHARED", value: "bob's" }));
  await refused(403, save(bob, { id: "alice/NEW", value: "bob's" }));
  await refused(403, save(bob, { id: "NEW", value: "bob's" }));
  await refused(403, bob.secrets.removeSecrets({ body: { id: "alice/SHARED" } }));
  await refused(400, save(bob, { id: "bob/../alice/NEW", value: "bob's" }));
  await refused(422, save(anyone, { id: "alice/NEW", value: "nobody's" }));
  await refused(401, save(apis("not.a.token"), { id: "alice/NEW", value: "nobody's" }));
  assert.equal((await list(alice))[0].value, "for bob");
});

await step("remove", async () => {
  await alice.secrets.removeSecrets({ body: { id: "alice/SHARED" } });
  assert.deepEqual(await names(bob), []);
  await root.secrets.removeSecrets({ body: { ids: ["walk/A", "walk/B", "walk/never-was"] } });
  assert.deepEqual(await names(root), []);
});

await step("refresh the token", async () => {
  const refreshed = (await root.headed.refreshToken()).token;
  assert.notEqual(refreshed.token, token.token);
  assert.equal(refreshed.userId, token.userId);
  assert.equal(refreshed.appId, token.appId);
  assert.equal((await apis(refreshed.token).users.readSelf({})).user.slug, admin.slug);
  assert.equal((await root.users.readSelf({})).user.slug, admin.slug, "the old one lives on");
  await refused(422, anyone.users.refreshToken());
});
