/**
 * What a session has to be set to, so that Postgres writes values as this room reads them: for the replication
 * connection, whose walsender formats the tuples, and for every session that reads rows or the catalogue. A role or a
 * database can have other defaults. `lc_monetary` stays as it is: setting it would turn the `€` of an amount into a `$`.
 */
export const sessionSettings: readonly (readonly [name: string, value: string])[] = [
  ['DateStyle', 'ISO'],
  ['TimeZone', 'UTC'],
  ['IntervalStyle', 'postgres'],
  // From 1 upwards floats are written with the fewest digits that read back the same.
  ['extra_float_digits', '1'],
  ['bytea_output', 'hex'],
  // The planner overrates the catalogue's query: compiling it took 650 ms, running it takes 10 (PostgreSQL 15 with LLVM).
  ['jit', 'off'],
]

/** The same as SQL: one `SET` a setting. A walsender takes it as well. */
export const sessionSettingsSql: string = sessionSettings.map(([name, value]) => `SET ${name} = '${value}'`).join('; ')
