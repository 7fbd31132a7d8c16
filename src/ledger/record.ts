import type { DeferredKey, ParkedObject, Receipt, Records } from '../delivery/ports.js'
import { formatLsn } from '../lsn.js'
import { type Queryable, textArray } from './postgres.js'
import { storable } from './storable.js'

/*
 * Receipts: `requests`, `submissions` and `objects` in one statement. Objects of one request and one table are a group;
 * each object names its group by number.
 */
const ofGroup = `($1::text[])[number] AS request_id, ($2::text[])[number] AS namespace, ($3::timestamptz[])[number] AS accepted_at,
  ($4::text[])[number] AS source`
const requestColumns = 'request_id, namespace, kind, object_count, status, created_at, updated_at'
const requests = `
  SELECT request_id, namespace, 'add', object_count, 'accepted', accepted_at, accepted_at
  FROM unnest($8::text[], $9::text[], $10::integer[], $11::timestamptz[])
    AS r (request_id, namespace, object_count, accepted_at)`
const submissionColumns = 'namespace, object_id, request_id, submitted_at'
const submissions = 'SELECT namespace, object_id, request_id, accepted_at FROM object'
const objectColumns = 'namespace, object_id, source, state, request_id, fingerprint, accepted_at, lsn'
const objects = `
  SELECT namespace, object_id, source, 'accepted', request_id, fingerprint, accepted_at, lsn FROM object`

/** All objects are new. To look for conflicts before each insert would cost as much as the inserts. */
const recordNew = (schema: string): string => `
  WITH object AS (
    SELECT ${ofGroup}, object_id, fingerprint, lsn
    FROM unnest($5::integer[], $6::text[], $7::text[], $12::pg_lsn[]) AS o (number, object_id, fingerprint, lsn)
  ), new_requests AS (
    INSERT INTO ${schema}.requests (${requestColumns}) ${requests}
  ), new_submissions AS (
    INSERT INTO ${schema}.submissions (${submissionColumns}) ${submissions}
  )
  INSERT INTO ${schema}.objects (${objectColumns}) ${objects}`

/**
 * Some objects were known, or another process was first with one of them, or all of it is there already.
 *
 * `expected` is the request that the ledger had when the object was sent: null for no row, '' for a row that was never
 * accepted. A row that is no longer that was written by another process, and is left alone; the count tells.
 */
const recordAny = (schema: string): string => `
  WITH object AS (
    SELECT ${ofGroup}, object_id, fingerprint, lsn, expected
    FROM unnest($5::integer[], $6::text[], $7::text[], $12::pg_lsn[], $13::text[])
      AS o (number, object_id, fingerprint, lsn, expected)
  ), new_requests AS (
    INSERT INTO ${schema}.requests (${requestColumns}) ${requests}
    ON CONFLICT DO NOTHING
    RETURNING request_id
  ), new_submissions AS (
    INSERT INTO ${schema}.submissions (${submissionColumns}) ${submissions}
    WHERE request_id IN (SELECT request_id FROM new_requests)
  ), inserted AS (
    INSERT INTO ${schema}.objects (${objectColumns}) ${objects}
    WHERE expected IS NULL
    ON CONFLICT DO NOTHING
    RETURNING 1
  ), updated AS (
    UPDATE ${schema}.objects AS known
    SET source = object.source, state = 'accepted', request_id = object.request_id, fingerprint = object.fingerprint,
        accepted_at = object.accepted_at, lsn = object.lsn, attempts = 0, retry_at = NULL, error = NULL, key = NULL
    FROM object
    WHERE object.expected IS NOT NULL AND known.namespace = object.namespace AND known.object_id = object.object_id
      AND coalesce(known.request_id, '') IN (object.expected, object.request_id)
    RETURNING ${mayHaveBeenOvertaken(schema, 'object.expected', 'object.accepted_at')} AS overtaken
  )
  SELECT FROM inserted UNION ALL SELECT FROM updated WHERE NOT overtaken`

/**
 * An import lands whenever SafetyKit likes. One that was found to have succeeded only after our request was accepted may
 * have landed on it, and who noted its success could not see this object yet. (The clocks may differ by some seconds.)
 */
const mayHaveBeenOvertaken = (schema: string, expected: string, acceptedAt: string): string => `EXISTS (
  SELECT FROM ${schema}.requests AS r WHERE r.request_id = ${expected} AND r.kind = 'import' AND r.status = 'succeeded'
    AND r.updated_at > ${acceptedAt} - interval '1 minute')`

const findConflicts = (schema: string): string => `
  SELECT sent.index
  FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    AS sent (index, namespace, object_id, request_id, expected, accepted_at)
  LEFT JOIN ${schema}.objects AS known USING (namespace, object_id)
  WHERE known.request_id IS DISTINCT FROM sent.request_id
    OR ${mayHaveBeenOvertaken(schema, 'sent.expected', 'sent.accepted_at')}`

/** When it is tried again is said by the database's clock, as it is asked by it. */
const recordParked = (schema: string): string => `
  INSERT INTO ${schema}.objects AS known (namespace, object_id, source, state, attempts, retry_at, error, key)
  VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6::double precision * interval '1 millisecond', $7, $8)
  ON CONFLICT (namespace, object_id) DO UPDATE
  SET source = excluded.source, state = excluded.state, attempts = excluded.attempts, retry_at = excluded.retry_at,
      error = excluded.error, key = excluded.key`

const forgetContent = (schema: string): string => `
  UPDATE ${schema}.objects
  SET state = 'accepted', fingerprint = NULL, attempts = 0, retry_at = NULL, error = NULL, key = NULL
  WHERE namespace = $1 AND object_id = $2`

const recordUnparked = (schema: string): readonly [string, string] => [
  `DELETE FROM ${schema}.objects WHERE namespace = $1 AND object_id = $2 AND state <> 'accepted' AND request_id IS NULL`,
  `UPDATE ${schema}.objects SET state = 'accepted', attempts = 0, retry_at = NULL, error = NULL, key = NULL
   WHERE namespace = $1 AND object_id = $2 AND state <> 'accepted'`,
]

const markDirty = (schema: string): string => `
  INSERT INTO ${schema}.dirty (source, key, force)
  SELECT * FROM unnest($1::text[], $2::jsonb[], $3::boolean[])`

/** The statements that write the ledger, for a quoted schema. */
export class Recording {
  readonly #new: string
  readonly #any: string
  readonly #conflicts: string
  readonly #parked: string
  readonly #unparked: readonly [string, string]
  readonly #forget: string
  readonly #dirty: string

  constructor(schema: string) {
    this.#new = recordNew(schema)
    this.#any = recordAny(schema)
    this.#conflicts = findConflicts(schema)
    this.#parked = recordParked(schema)
    this.#unparked = recordUnparked(schema)
    this.#forget = forgetContent(schema)
    this.#dirty = markDirty(schema)
  }

  /**
   * The receipts, however many, are one statement and so one transaction. What follows needs none around it all: a change
   * is settled only after the last statement, so a crash between two of them brings it again.
   */
  async write(client: Queryable, records: Records): Promise<void> {
    const deferred = [...records.deferred]
    if (records.receipts.length > 0) deferred.push(...(await this.#writeReceipts(client, records.receipts)))
    for (const parked of records.parked) await client.query(this.#parked, parkedValues(parked))
    for (const { namespace, id, forget } of records.unparked) {
      const statements = forget === true ? [this.#forget] : this.#unparked
      for (const statement of statements) await client.query(statement, [namespace, id])
    }
    if (deferred.length > 0) await client.query(this.#dirty, dirtyValues(deferred))
  }

  /** Returns the keys of the objects on which another process, or an import, met us: only the row tells the newest state. */
  async #writeReceipts(client: Queryable, receipts: readonly Receipt[]): Promise<DeferredKey[]> {
    const sent = inOrder(receipts)
    if ((await this.#insertReceipts(client, receipts, sent)) === sent.length) return []
    const conflicts = await client.query(this.#conflicts, [
      sent.map((_, index) => index),
      sent.map(({ receipt }) => receipt.namespace),
      sent.map(({ object }) => object.id),
      sent.map(({ receipt }) => receipt.requestId),
      expectedRequests(sent),
      sent.map(({ receipt }) => receipt.acceptedAt.toISOString()),
    ])
    return conflicts.rows.flatMap((row) => {
      const object = sent[Number(row.index)]?.object
      return object === undefined ? [] : [{ source: object.source, key: object.key(), force: true }]
    })
  }

  /** How many objects were recorded. */
  async #insertReceipts(client: Queryable, receipts: readonly Receipt[], sent: readonly Sent[]): Promise<number> {
    const values = receiptValues(receipts, sent)
    const known = receipts.some((receipt) => receipt.objects.some((object) => object.known != null))
    try {
      if (!known) return (await client.query({ name: 'safetykit_record_new', text: this.#new, values })).rowCount ?? 0
    } catch (error) {
      // Another process was first with one of them, or this is a repetition after a commit whose answer was lost.
      if (!isUniqueViolation(error)) throw error
    }
    const all = [...values, expectedRequests(sent)]
    return (await client.query({ name: 'safetykit_record_any', text: this.#any, values: all })).rowCount ?? 0
  }
}

const isUniqueViolation = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '23505'

interface Sent {
  readonly receipt: Receipt
  readonly object: Receipt['objects'][number]
}

/** By namespace and id, as imports are written too: of two that wait for each other's objects, one would fail. */
function inOrder(receipts: readonly Receipt[]): readonly Sent[] {
  const sent = receipts.flatMap((receipt) => receipt.objects.map((object) => ({ receipt, object })))
  return sent.sort((a, b) =>
    a.receipt.namespace === b.receipt.namespace
      ? a.object.id < b.object.id
        ? -1
        : 1
      : a.receipt.namespace < b.receipt.namespace
        ? -1
        : 1,
  )
}

function receiptValues(receipts: readonly Receipt[], sent: readonly Sent[]): unknown[] {
  const groups = {
    requests: [] as string[],
    namespaces: [] as string[],
    times: [] as string[],
    sources: [] as string[],
  }
  const numbersOf = new Map(receipts.map((receipt) => [receipt, new Map<string, number>()]))
  const numbers: number[] = []
  const ids: string[] = []
  const fingerprints: string[] = []
  const lsns: string[] = []
  for (const { receipt, object } of sent) {
    const { requestId, namespace, acceptedAt } = receipt
    const { source, sending } = object
    const numberOf = numbersOf.get(receipt)
    let number = numberOf?.get(source)
    if (number === undefined) {
      groups.requests.push(requestId)
      groups.namespaces.push(namespace)
      groups.times.push(acceptedAt.toISOString())
      number = groups.sources.push(source)
      numberOf?.set(source, number)
    }
    numbers.push(number)
    ids.push(object.id)
    fingerprints.push(sending?.fingerprint ?? 'NULL')
    lsns.push(sending?.lsn == null ? 'NULL' : formatLsn(sending.lsn))
  }
  return [
    textArray(groups.requests),
    textArray(groups.namespaces),
    textArray(groups.times),
    textArray(groups.sources),
    `{${numbers.join(',')}}`,
    textArray(ids),
    // Of letters, digits, - and _, and of hexadecimal digits and a slash: nothing to escape.
    `{${fingerprints.join(',')}}`,
    textArray(receipts.map((receipt) => receipt.requestId)),
    textArray(receipts.map((receipt) => receipt.namespace)),
    textArray(receipts.map((receipt) => String(receipt.objects.length))),
    textArray(receipts.map((receipt) => receipt.acceptedAt.toISOString())),
    `{${lsns.join(',')}}`,
  ]
}

/** For each object, the request that the ledger had when it was sent; see `recordAny`. */
const expectedRequests = (sent: readonly Sent[]): string =>
  textArray(sent.map(({ object: { known } }) => (known == null ? null : (known.requestId ?? ''))))

function parkedValues(parked: ParkedObject): unknown[] {
  const { code, message, hint } = parked.error
  const { status, fingerprint } = parked
  const at = new Date().toISOString()
  const error = JSON.stringify({
    code,
    status,
    message: storable(message),
    hint,
    at,
    fingerprint,
    inDoubt: parked.inDoubt || undefined,
  })
  const state = parked.retryAt === null ? 'dead' : 'parked'
  const key = JSON.stringify(parked.key)
  const waitMs = parked.retryAt === null ? null : parked.retryAt.getTime() - Date.now()
  return [parked.namespace, parked.id, parked.source, state, parked.attempts, waitMs, error, key]
}

const dirtyValues = (keys: readonly DeferredKey[]): unknown[] => [
  keys.map((deferred) => deferred.source),
  keys.map((deferred) => (deferred.key === null ? null : JSON.stringify(deferred.key))),
  keys.map((deferred) => deferred.force),
]
