-- An agent's page walks the agent's listings, newest first. The index serves the
-- foreign key as well, so the one on agent_id alone has nothing left to do.
create index listings_agent_newest on public.listings (agent_id, created_at, id);
drop index public.listings_agent;
