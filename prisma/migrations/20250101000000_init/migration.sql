CREATE SCHEMA IF NOT EXISTS "public";

CREATE SCHEMA IF NOT EXISTS "trust";

CREATE TYPE "public"."Currency" AS ENUM ('USD', 'EUR', 'GBP', 'JPY');

CREATE TYPE "public"."ProductStatus" AS ENUM ('DRAFT', 'ACTIVE', 'SOLD', 'REMOVED');

CREATE TYPE "trust"."report_reason" AS ENUM ('spam', 'counterfeit', 'unsafe-item');

CREATE TABLE "public"."Seller" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "bio" TEXT,
    "verified" BOOLEAN NOT NULL DEFAULT false,
    "rating" DOUBLE PRECISION,
    "lifetimeCents" BIGINT NOT NULL DEFAULT 0,
    "avatar" BYTEA,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Seller_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "public"."Product" (
    "id" UUID NOT NULL,
    "title" TEXT NOT NULL,
    "description" TEXT,
    "price" DECIMAL(12,2) NOT NULL,
    "currency" "public"."Currency" NOT NULL DEFAULT 'USD',
    "status" "public"."ProductStatus" NOT NULL DEFAULT 'DRAFT',
    "tags" TEXT[],
    "attributes" JSONB NOT NULL DEFAULT '{}',
    "viewCount" INTEGER NOT NULL DEFAULT 0,
    "sellerId" INTEGER NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "Product_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "public"."ProductImage" (
    "id" SERIAL NOT NULL,
    "url" TEXT NOT NULL,
    "position" INTEGER NOT NULL DEFAULT 0,
    "productId" UUID NOT NULL,

    CONSTRAINT "ProductImage_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "public"."Message" (
    "id" BIGSERIAL NOT NULL,
    "senderId" INTEGER NOT NULL,
    "recipientId" INTEGER NOT NULL,
    "body" TEXT NOT NULL,
    "sentAt" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "Message_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "public"."product_reviews" (
    "review_id" SERIAL NOT NULL,
    "product_id" UUID NOT NULL,
    "author_id" INTEGER NOT NULL,
    "stars" SMALLINT NOT NULL,
    "review_text" TEXT,
    "written_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "product_reviews_pkey" PRIMARY KEY ("review_id")
);

CREATE TABLE "public"."OrderLine" (
    "orderId" UUID NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" UUID NOT NULL,
    "quantity" INTEGER NOT NULL DEFAULT 1,
    "unitPrice" DECIMAL(12,2) NOT NULL,
    "note" TEXT,

    CONSTRAINT "OrderLine_pkey" PRIMARY KEY ("orderId", "line")
);

CREATE TABLE "trust"."reports" (
    "id" BIGSERIAL NOT NULL,
    "reason" "trust"."report_reason" NOT NULL,
    "details" TEXT,
    "evidence" JSONB,
    "reporter_id" INTEGER NOT NULL,
    "created_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "reports_pkey" PRIMARY KEY ("id")
);

CREATE UNIQUE INDEX "Seller_email_key" ON "public"."Seller"("email");

CREATE INDEX "Product_sellerId_idx" ON "public"."Product"("sellerId");

CREATE INDEX "ProductImage_productId_idx" ON "public"."ProductImage"("productId");

CREATE INDEX "Message_recipientId_sentAt_idx" ON "public"."Message"("recipientId", "sentAt");

CREATE INDEX "product_reviews_product_id_idx" ON "public"."product_reviews"("product_id");

ALTER TABLE "public"."Product" ADD CONSTRAINT "Product_sellerId_fkey"
    FOREIGN KEY ("sellerId") REFERENCES "public"."Seller"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "public"."ProductImage" ADD CONSTRAINT "ProductImage_productId_fkey"
    FOREIGN KEY ("productId") REFERENCES "public"."Product"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "public"."Message" ADD CONSTRAINT "Message_senderId_fkey"
    FOREIGN KEY ("senderId") REFERENCES "public"."Seller"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "public"."Message" ADD CONSTRAINT "Message_recipientId_fkey"
    FOREIGN KEY ("recipientId") REFERENCES "public"."Seller"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "public"."product_reviews" ADD CONSTRAINT "product_reviews_product_id_fkey"
    FOREIGN KEY ("product_id") REFERENCES "public"."Product"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "public"."product_reviews" ADD CONSTRAINT "product_reviews_author_id_fkey"
    FOREIGN KEY ("author_id") REFERENCES "public"."Seller"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "public"."OrderLine" ADD CONSTRAINT "OrderLine_productId_fkey"
    FOREIGN KEY ("productId") REFERENCES "public"."Product"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

ALTER TABLE "trust"."reports" ADD CONSTRAINT "reports_reporter_id_fkey"
    FOREIGN KEY ("reporter_id") REFERENCES "public"."Seller"("id") ON DELETE CASCADE ON UPDATE CASCADE;
