import pg from 'pg'
import { SyncError } from '../../errors.js'

/** Postgres' messages of class 22 (data exceptions) and 23 (constraints) hold values. */
export function withoutValues(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError) || !/^2[23]/.test(error.code ?? '')) return error
  return new SyncError('TABLE_UNFIT', `A row could not be read (SQLSTATE ${error.code})`)
}
