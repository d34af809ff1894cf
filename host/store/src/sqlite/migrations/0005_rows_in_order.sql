-- The fifth shape: users lie in the file of a run in the order in which they were put. Nothing of the store changes, but
-- plans and stagings of before are of another shape: none is applied or gone on with.
UPDATE directory SET generation = generation + 1;
