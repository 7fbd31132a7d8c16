import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, onTestFinished, test } from 'vitest'
import { silentLogger } from '../../src/logger.js'
import { Sources } from '../../src/pipeline/sources.js'
import { defineSync } from '../../src/sync.js'
import { createDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

test('what a look at the catalogue replaces is known as long as an object on its way holds it, and not longer', async () => {
  const db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text)' })
  onTestFinished(() => db.drop())
  const { resolved } = defineSync({
    capture: 'trigger',
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  } as never)
  const sources = await Sources.open({ db: db.pool, resolved, defaultSchema: 'public', logger: silentLogger })
  const originNow = () => sources.all.flatMap(({ targets }) => targets.map(({ origin }) => origin))
  const held = originNow()
  await sources.refresh()
  const unheld = originNow().map((origin) => new WeakRef(origin))
  await sources.refresh()

  await soon(() => {
    collectGarbage()
    expect(unheld.filter((origin) => origin.deref() !== undefined)).toEqual([])
  })
  expect(held.map((origin) => sources.ofOrigin(origin)?.source.name)).toEqual(['public.products'])
})
