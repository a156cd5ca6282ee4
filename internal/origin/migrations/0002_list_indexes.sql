-- A list page filters by equality on at most three columns and reads in one
-- of two orders, forwards or backwards: newest first, or by price. Each index
-- below hands out rows of one equality in one order, so a page is a walk that
-- stops after page_size rows. The remaining conditions are filters on the way.
create index listings_newest on public.listings (created_at, id);
create index listings_price on public.listings (price, id);

create index listings_city_newest on public.listings (city, created_at, id);
create index listings_city_price on public.listings (city, price, id);

create index listings_type_newest on public.listings (property_type, created_at, id);
create index listings_type_price on public.listings (property_type, price, id);

create index listings_bedrooms_newest on public.listings (bedrooms, created_at, id);
create index listings_bedrooms_price on public.listings (bedrooms, price, id);

-- City with type is what people ask for most.
create index listings_city_type_newest on public.listings (city, property_type, created_at, id);
create index listings_city_type_price on public.listings (city, property_type, price, id);

-- Deleting an agent clears agent_id on the listings that name it.
create index listings_agent on public.listings (agent_id);
