// The lab's page: one script and one style sheet for the browser, and the renderer of its exports for Node.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';

/** Sources that are not modules of a program. */
export const PAGE = 'src/lab/page/';

/**
 * @param esbuild
 * @param folder of the build; the page is beside the program that serves it
 */
export async function bundlePage(esbuild, root, folder) {
  const shared = {
    absWorkingDir: root,
    bundle: true,
    jsx: 'automatic',
    jsxImportSource: 'preact',
    minify: true,
    logLevel: 'error',
  };
  const page = join(folder, PAGE);
  await Promise.all([
    esbuild.build({
      ...shared,
      entryPoints: {
        page: `${PAGE}main.tsx`,
        styles: `${PAGE}page-all.css`,
        diagram: `${PAGE}diagram.css`,
      },
      outdir: page,
      format: 'esm',
      target: ['es2022'],
      sourcemap: true,
    }),
    esbuild.build({
      ...shared,
      entryPoints: { export: `${PAGE}export.tsx` },
      outdir: page,
      format: 'esm',
      platform: 'node',
      target: 'node20.19',
    }),
  ]);
  copyFileSync(join(root, PAGE, 'index.html'), join(page, 'index.html'));
}
