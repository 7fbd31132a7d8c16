import type { PrismaClient } from '../../prisma/generated/client/client.js'

/** What the demo comes back to. */
export interface Shop {
  readonly lampId: string
  readonly draftId: string
}

/** Opens a small marketplace: nested writes, a transaction, and one draft, which the mapping leaves out. */
export async function openShop(prisma: PrismaClient): Promise<Shop> {
  const ada = await prisma.seller.create({
    data: {
      name: 'Ada Lamps',
      email: 'ada@shop.example',
      bio: 'Restores lamps from the thirties.',
      verified: true,
      products: {
        create: [
          {
            title: 'Brass desk lamp',
            description: 'Rewired, with a new switch.',
            price: '129.90',
            status: 'ACTIVE',
            tags: ['lighting', 'brass'],
            images: {
              create: [
                { url: 'https://img.shop.example/lamp-front.jpg', position: 0 },
                { url: 'https://img.shop.example/lamp-side.jpg', position: 1 },
              ],
            },
          },
          {
            title: 'Glass shade',
            price: '24.00',
            status: 'ACTIVE',
            tags: ['lighting'],
            images: { create: [{ url: 'https://img.shop.example/shade.jpg' }] },
          },
        ],
      },
    },
    include: { products: true },
  })
  const bo = await prisma.seller.create({
    data: {
      name: 'Bo Bikes',
      email: 'bo@shop.example',
      products: {
        create: [
          {
            title: 'Track bike, 56 cm',
            price: '740.00',
            status: 'ACTIVE',
            tags: ['bikes'],
            images: { create: [{ url: 'https://img.shop.example/bike.jpg' }] },
          },
          { title: 'Pedals, not photographed yet', price: '35.00', status: 'DRAFT', tags: ['bikes'] },
        ],
      },
    },
    include: { products: true },
  })
  await prisma.$transaction([
    prisma.message.create({
      data: { senderId: bo.id, recipientId: ada.id, body: 'Would you swap a lamp for a bike?' },
    }),
    prisma.message.create({ data: { senderId: ada.id, recipientId: bo.id, body: 'Send me a picture first.' } }),
  ])
  await prisma.message.createMany({
    data: [
      { senderId: bo.id, recipientId: ada.id, body: 'It is in the shop, the blue one.' },
      { senderId: ada.id, recipientId: bo.id, body: 'Deal!' },
    ],
  })
  const lamp = ada.products.find((product) => product.title === 'Brass desk lamp')
  const draft = bo.products.find((product) => product.status === 'DRAFT')
  if (lamp === undefined || draft === undefined) throw new Error('Prisma did not return the products it wrote')
  return { lampId: lamp.id, draftId: draft.id }
}

/** How many objects each namespace has to have, asked of the tables themselves. */
export async function countMapped(prisma: PrismaClient): Promise<ReadonlyMap<string, number>> {
  const [sellers, products, images, messages] = await Promise.all([
    prisma.seller.count(),
    prisma.product.count({ where: { status: { not: 'DRAFT' } } }),
    prisma.productImage.count(),
    prisma.message.count(),
  ])
  return new Map([
    ['sellers', sellers],
    ['products', products],
    ['product_images', images],
    ['messages', messages],
  ])
}
