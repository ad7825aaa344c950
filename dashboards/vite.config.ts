// Builds the console into dist, which the server embeds. Everything it loads is a file of its own origin, so that the
// page works under `Content-Security-Policy: default-src 'self'`.
import { defineConfig } from "vite";
import type { Plugin } from "vite";

/** The one committed file of dist. Emptying the folder deletes it, so every build writes it again. */
const keepIgnoreFile: Plugin = {
  name: "keep-ignore-file",
  generateBundle() {
    this.emitFile({ type: "asset", fileName: ".gitignore", source: "*\n!.gitignore\n" });
  },
};

export default defineConfig({
  plugins: [keepIgnoreFile],
  // No `data:` addresses: the content security policy would refuse them.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 600 },
  // `npm run dev` beside a running server: the API comes from there.
  server: { proxy: { "/v1": { target: "http://127.0.0.1:8080" } } },
});
