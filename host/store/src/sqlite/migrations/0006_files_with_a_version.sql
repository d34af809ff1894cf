-- The sixth shape: the file of a run has the tables of a plan from the start, and says which version of them it has.
-- Nothing of the store changes, but plans and stagings of before are of another shape: none is applied or gone on with.
UPDATE directory SET generation = generation + 1;
