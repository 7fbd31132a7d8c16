import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { candidatesOfPrisma } from '../../src/init/from-prisma.js'
import { type GuessedMapping, guessMappings } from '../../src/init/guess.js'
import { namespaceOf } from '../../src/init/names.js'
import { parsePrismaSchema } from '../../src/init/prisma-schema.js'
import { createDatabase } from '../support/postgres.js'
import { applyMigrations } from '../support/prisma.js'
import { type ConfigDirectory, configDirectory, runCommand } from '../support/sidecar.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** A folder in the repository, where the package and Prisma are found by their names. */
async function folderIn(parent: string): Promise<string> {
  const folder = await mkdtemp(path.join(root, parent, 'init-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function emptyFolder(): Promise<ConfigDirectory> {
  const folder = await configDirectory()
  onTestFinished(() => folder.remove())
  return folder
}

async function marketplaceUrl(): Promise<string> {
  const db = await createDatabase()
  onTestFinished(() => db.drop())
  await applyMigrations(db.url)
  return db.url
}

const init = (cwd: string, args: readonly string[], env: Record<string, string> = {}) =>
  runCommand(['init', ...args], { cwd, env })

const written = (folder: string): Promise<string> => readFile(path.join(folder, 'safetykit.config.ts'), 'utf8')

const guessed = (schema: string): GuessedMapping[] =>
  guessMappings(candidatesOfPrisma(parsePrismaSchema(schema)).filter(({ key }) => key.length > 0))

describe('safetykit-sync init', () => {
  it('writes a configuration of the models that type-checks, of Prisma 7 and of 6, and that migrate runs with', async () => {
    const folder = await folderIn('test')
    const folder6 = await folderIn('test/prisma6')
    const schema6 = path.join(root, 'test/prisma6/generated/marketplace.prisma')
    const told = await init(folder, ['--yes', '--schema', '../../prisma'])
    expect(told).toMatchObject({ code: 0, stderr: '' })
    expect(told.stdout).toContain('Product → products')
    expect(told.stdout).toContain('npx safetykit-sync migrate')
    expect(await init(folder6, ['--schema', schema6, '--models', 'Product, Seller', '--yes'])).toMatchObject({
      code: 0,
    })
    expect(await written(folder6)).toContain("from '../generated/marketplace/client.js'")

    const project = { extends: '../../tsconfig.json', include: ['*.ts', `${folder6}/*.ts`] }
    await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify(project))
    const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
    await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch(({ stdout }) => expect(stdout).toBe(''))

    const migrated = await runCommand(['migrate'], { cwd: folder, env: { DATABASE_URL: await marketplaceUrl() } })
    expect(migrated).toMatchObject({ code: 0, stderr: '' })
    expect(migrated.stdout).toContain('product_reviews')
  })

  it('reads the tables of the database where there is no Prisma', async () => {
    const folder = await folderIn('test')
    const env = { DATABASE_URL: await marketplaceUrl() }
    expect(await init(folder, ['--tables', '--yes'], env)).toMatchObject({ code: 0, stderr: '' })
    const text = await written(folder)
    expect(text).toContain("'public.product_reviews': {\n      namespace: 'product_reviews'")
    expect(text).toContain("product_id: { namespace_ref: 'products' }")
    expect(text).toContain('review_text: true')
    expect(text).toContain("'trust.reports'")
    expect(await runCommand(['migrate'], { cwd: folder, env })).toMatchObject({ code: 0, stderr: '' })
    // What migrate has made is none of the application's.
    expect(await init(folder, ['--tables', '--yes', '--force'], env)).toMatchObject({ code: 0 })
    expect(await written(folder)).toBe(text)
  })

  it('overwrites nothing without --force, asks nothing without a terminal, and names the nearest model', async () => {
    const folder = await emptyFolder()
    await folder.write(
      'schema.prisma',
      'model Product {\n  sku String @id\n  title String\n}\nmodel Log {\n  line String\n}\n',
    )
    expect(await init(folder.dir, [])).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') })
    const unknown = await init(folder.dir, ['--models', 'Produkt', '--yes'])
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('Did you mean Product?') })
    const first = await init(folder.dir, ['--yes', '--capture', 'replication'])
    expect(first).toMatchObject({ code: 0 })
    expect(first.stdout).toContain('npx safetykit-sync run')
    const text = await written(folder.dir)
    expect(text).toContain("capture: 'replication',\n  models: {\n    Product: {")
    expect(text).toContain('// Log: has no primary key')
    // The schema has no generator, so nothing says where a client is.
    expect(text).toMatch(/^import \{ prisma \} from '\.\/src\/db\.js' \/\/ EDIT/m)
    expect(await init(folder.dir, ['--yes'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--force') })
    expect(await written(folder.dir)).toBe(text)
    expect(await init(folder.dir, ['--yes', '--force'])).toMatchObject({ code: 0 })
    expect(await written(folder.dir)).toContain("capture: 'trigger'")
  })

  it('finds the schema that prisma.config.ts names, also in several files, and the older generator without an output', async () => {
    const folder = await emptyFolder()
    await mkdir(path.join(folder.dir, 'db/models'), { recursive: true })
    await folder.write('prisma.config.ts', `export default { schema: 'db' }\n`)
    await folder.write('db/main.prisma', 'generator client {\n  provider = "prisma-client-js"\n}\n')
    await folder.write('db/models/shop.prisma', 'model Shop {\n  id Int @id\n  name String\n}\n')
    expect(await init(folder.dir, ['--yes'])).toMatchObject({ code: 0, stderr: '' })
    expect(await written(folder.dir)).toContain("import { PrismaClient } from '@prisma/client'")
    expect(await written(folder.dir)).toContain("namespace: 'shops'")
  })
})

describe('what init guesses', () => {
  it('hints from names and types, references from relations, and no secrets', () => {
    const [user, listing] = guessed(`
      model User {
        id           Int       @id
        displayName  String
        email        String    @unique
        passwordHash String
        resetToken   String?
        apiKey       String?
        pinned       Boolean
        lastSeenAt   DateTime?
        updatedAt    DateTime  @updatedAt
        listings     Listing[]
      }
      model Listing { // of a user
        id        String   @id @default("}")
        headline  String
        name      String
        body      String
        about     String?
        imageUrl  String
        photos    String[]
        videoUrl  String?
        website   String?
        city      String?
        price     Decimal
        metadata  Json
        viewCount Int
        madeAt    DateTime
        ownerId   Int
        owner     User     @relation(
          fields: [ownerId],
          references: [id]
        )
        odd       Unsupported("point")?
        old       String   @ignore
        /* kept: String */
      }`)
    expect(user).toEqual({
      name: 'User',
      namespace: 'users',
      fields: [
        { name: 'displayName', settings: { display_hint: { type: 'title' } } },
        { name: 'email', settings: {} },
        { name: 'pinned', settings: {} },
      ],
      leftOut: [
        { name: 'passwordHash', why: 'looks secret' },
        { name: 'resetToken', why: 'looks secret' },
        { name: 'apiKey', why: 'looks secret' },
        { name: 'lastSeenAt', why: 'changes often' },
        { name: 'updatedAt', why: 'is set with each write' },
      ],
    })
    expect(Object.fromEntries(listing?.fields.map(({ name, settings }) => [name, settings]) ?? [])).toEqual({
      headline: { display_hint: { type: 'title' } },
      name: { display_hint: { type: 'subtitle' } },
      body: { display_hint: { type: 'description' } },
      about: { display_hint: { type: 'compact_text' } },
      imageUrl: { content_type: 'image_url', display_hint: { type: 'primary_image_url' } },
      photos: { content_type: 'image_url' },
      videoUrl: { content_type: 'video_url', display_hint: { type: 'video_url' } },
      website: { content_type: 'website_url' },
      city: { display_hint: { type: 'location' } },
      price: {},
      metadata: { content_type: 'metadata' },
      madeAt: { content_type: 'datetime' },
      ownerId: { namespace_ref: 'users' },
    })
  })

  it('namespaces in the plural, each once', () => {
    const names = ['ProductImage', 'category', 'Address', 'news', 'APIKey', 'order_lines', 'Box', 'day', 'Über']
    const expected = ['product_images', 'categories', 'addresses', 'news', 'api_keys', 'order_lines', 'boxes', 'days']
    expect(names.slice(0, -1).map(namespaceOf)).toEqual(expected)
    expect(namespaceOf('Über')).toMatch(/^[A-Za-z0-9_-]+$/)
    const twice = guessed('model Box {\n id Int @id\n a Int\n}\nmodel Boxes {\n id Int @id\n a Int\n}')
    expect(twice.map(({ namespace }) => namespace)).toEqual(['boxes', 'boxes_2'])
  })
})
