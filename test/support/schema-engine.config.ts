// For Prisma's own command, with the schema engine that its package holds as WebAssembly: the usual one is a program to
// download. Prisma 6.19 takes it with an adapter; that of 7 is used, since the one of 6.19 does not know the type `name`.
import { PrismaPg } from '@prisma/adapter-pg'

type Adapter = Awaited<ReturnType<PrismaPg['connect']>>
type Query = Parameters<Adapter['queryRaw']>[0]

interface Io {
  performIO(query: Query): Promise<{ readonly fields: readonly { readonly dataTypeID: number }[] }>
}

const charOid = 18
const textOid = 25
/** `ColumnTypeEnum.Character`. */
const character = 6

/** No adapter knows the type `"char"`, in which the catalogue writes its codes: read as text, and called by its name. */
function knowingChar(adapter: Adapter): Adapter {
  const io = adapter as unknown as Io
  const performIO = io.performIO.bind(adapter)
  const queryRaw = adapter.queryRaw.bind(adapter)
  let oids: readonly number[] = []
  io.performIO = async (query) => {
    const result = await performIO(query)
    oids = result.fields.map(({ dataTypeID }) => dataTypeID)
    const fields = result.fields.map((field) =>
      field.dataTypeID === charOid ? { ...field, dataTypeID: textOid } : field,
    )
    return { ...result, fields }
  }
  adapter.queryRaw = async (query) => {
    const result = await queryRaw(query)
    const columnTypes = result.columnTypes.map((type, index) => (oids[index] === charOid ? character : type))
    return { ...result, columnTypes }
  }
  return adapter
}

const factory = new PrismaPg({ connectionString: process.env.DATABASE_URL ?? '' })

export default {
  experimental: { adapter: true },
  engine: 'js',
  schema: process.env.PRISMA_SCHEMA,
  adapter: async () => ({
    provider: factory.provider,
    adapterName: factory.adapterName,
    connect: async () => knowingChar(await factory.connect()),
    connectToShadowDb: async () => knowingChar(await factory.connectToShadowDb()),
  }),
}
