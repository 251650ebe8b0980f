/** The build turns each x.sql into x.sql.js, a module that exports the text. */
declare module '*.sql.js' {
  const sql: string;
  export default sql;
}
