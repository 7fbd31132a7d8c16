import { setFlagsFromString } from 'node:v8'

/**
 * Lets the heap grow by half of what is in use before it is collected, rather than to twice and more: what goes through a
 * backfill or a `verify` is garbage by the thousand rows, and would fill memory that others on the machine could use.
 *
 * Measured on a backfill of 500,000 rows: 225 MiB resident without it, and less than a tenth more processor time with it.
 */
export const keepHeapSmall = (): void => setFlagsFromString('--heap-growing-percent=100')
