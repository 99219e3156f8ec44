// Serves tus on a free port of this machine, and says which.
// Arguments: the folder, and after how many milliseconds an upload that was begun expires (0: never).
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [directory, expires] = process.argv.slice(2);
const datastore = new FileStore({ directory, expirationPeriodInMilliseconds: Number(expires) });
const server = new Server({ path: "/files", datastore });
const listening = server.listen({ host: "127.0.0.1", port: 0 }, () => {
  console.log(listening.address().port);
});
