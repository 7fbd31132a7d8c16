import { type ErrorCode, SyncError } from '../../errors.js'

interface Meaning {
  readonly code: ErrorCode
  readonly message: string
  readonly hint?: string
  readonly retryable: boolean
}

const SLOT_MISSING_HINT = 'Run `safetykit-sync migrate`; what was written in between is sent when it changes again.'

/** SQLSTATEs that mean something in particular on a replication connection. */
const meanings: Readonly<Record<string, Meaning>> = {
  '42704': {
    code: 'SLOT_MISSING',
    message: 'The replication slot does not exist',
    hint: SLOT_MISSING_HINT,
    retryable: false,
  },
  '55000': {
    code: 'SLOT_LOST',
    message: 'The replication slot cannot be read any more',
    hint: 'Drop the slot, then run `safetykit-sync migrate`; what was written in between is sent when it changes again.',
    retryable: false,
  },
  '22023': {
    code: 'SLOT_FOREIGN',
    message: 'The replication slot does not take the options of pgoutput',
    hint: 'Choose another name for the slot (`slot.name`).',
    retryable: false,
  },
  '55006': {
    code: 'SLOT_IN_USE',
    message: 'Another process reads from the replication slot',
    hint: 'Nothing needs to be done for a standby: it takes over once the slot is free.',
    retryable: true,
  },
  '42501': {
    code: 'DATABASE_UNFIT',
    message: 'The role may not replicate',
    hint: 'ALTER ROLE … REPLICATION; for the role of the database URL.',
    retryable: false,
  },
  '28P01': {
    code: 'DATABASE_UNREACHABLE',
    message: 'Postgres refuses the password',
    hint: 'Check the user and the password of the database URL.',
    retryable: false,
  },
  '28000': {
    code: 'DATABASE_UNREACHABLE',
    message: 'Postgres refuses the login',
    hint: 'Check the role of the database URL, and pg_hba.conf for this host.',
    retryable: false,
  },
  '3D000': {
    code: 'DATABASE_UNREACHABLE',
    message: 'The database does not exist',
    hint: 'Check the name of the database in the database URL.',
    retryable: false,
  },
}

/** Connection failures, shutdowns and full servers: they pass. */
const UNREACHABLE = /^(08...|57P0[123]|53300|E[A-Z_]+)$/

/** The SQLSTATE of a Postgres error or the code of a system error. */
export function codeOf(error: unknown): string | null {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null
  return typeof code === 'string' ? code : null
}

/** What an error that ended the stream means, by its code alone. */
export function classifyStreamError(error: unknown): SyncError {
  if (error instanceof SyncError) return error
  const code = codeOf(error)
  const meaning = code === null ? undefined : meanings[code]
  if (meaning !== undefined) {
    const { hint, retryable } = meaning
    return new SyncError(meaning.code, meaning.message, { hint, retryable, cause: error })
  }
  if (code !== null && UNREACHABLE.test(code)) {
    return new SyncError('DATABASE_UNREACHABLE', 'Postgres cannot be reached', { retryable: true, cause: error })
  }
  return new SyncError('STREAM_BROKEN', 'The replication stream broke off', { retryable: true, cause: error })
}
