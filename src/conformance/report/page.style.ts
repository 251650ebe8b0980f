export const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 2.5rem }
section { border-left: 4px solid #b3261e; padding: .25rem 1rem; margin: 1rem 0; background: #fbf4f3 }
pre { overflow-x: auto; padding: .75rem; background: #f2f4f7; font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere }
pre.answer { border-left: 3px solid #8a94a3 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dee6; vertical-align: top }
.good { color: #14602b; font-weight: 600 } .bad { color: #9a1c15; font-weight: 600 }
tr.fail td:first-child, tr.mismatch td:first-child { color: #9a1c15; font-weight: 600 }
tr.skip, tr.not-run { color: #5a6472 }
@media (prefers-color-scheme: dark) {
  body { color: #e4e8ee; background: #15181d } section { background: #241a1a } pre { background: #1e232b } a { color: #8ab4f8 }
  td, th { border-color: #333b46 } .good { color: #7fd79a } .bad, tr.fail td:first-child, tr.mismatch td:first-child { color: #ff9d94 } tr.skip, tr.not-run { color: #98a2b0 }
}
@media print { details { display: block } }
`;
